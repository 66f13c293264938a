"""How well the refusal gates that ship tell harmful queries from benign ones."""
