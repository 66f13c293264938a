"""The published format: find it, read it, write it, make a new one."""
