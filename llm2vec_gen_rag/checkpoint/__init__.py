"""The published format of a checkpoint: find it, read it, write it, make a fresh one."""
