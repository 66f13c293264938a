"""Measure retrieval: reasoning, safety and over-refusal on the almanac."""
