"""The fit stage: train response tokens and heads on responses and teacher vectors."""
