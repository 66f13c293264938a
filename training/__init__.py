"""Train response tokens from unlabeled queries."""
