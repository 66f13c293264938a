"""The commands, one file each: `add_parser` declares its options, `run` does the work.

No module here imports torch, a framework or Qdrant before its `run`.
"""
