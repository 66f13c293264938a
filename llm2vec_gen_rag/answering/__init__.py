"""The resident LLM answers, token by token: conversations in, streams of text out."""
