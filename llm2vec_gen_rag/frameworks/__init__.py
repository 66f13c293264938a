"""What both framework adapters share."""
