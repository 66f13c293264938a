"""Documents written as points and removed again, so that every source keeps its own."""
