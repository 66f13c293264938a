"""Response tokens learn from responses and teacher vectors."""
