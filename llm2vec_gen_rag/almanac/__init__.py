"""The almanac: the bundled small model, its corpus and its questions (package data)."""
