"""A collection opened: where it is, who talks to it, and which model wrote it."""
