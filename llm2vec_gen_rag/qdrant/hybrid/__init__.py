"""Hybrid search: what a query means and its words, as one score."""
