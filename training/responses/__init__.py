"""The LLM's own completions of unlabeled queries."""
