"""The frozen LLM's layers written out for a CPU, forward and backward."""
