"""Texts -> vectors, as a caller asks for them."""
