"""The commands, one module each: `add_parser` declares the options, `run` does the work.

No module here imports torch, a framework or Qdrant before its `run`.
"""
