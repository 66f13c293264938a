"""Collections that others wrote, with the vectors of another model: ours are put beside those."""
