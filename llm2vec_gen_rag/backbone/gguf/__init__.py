"""A GGUF file as the frozen LLM: found, read, dequantised, and its tokenizer built."""
