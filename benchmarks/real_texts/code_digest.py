"""A digest of the code that computes vectors and answers, for the keys they are kept under."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import llm2vec_gen_rag

PACKAGE = Path(llm2vec_gen_rag.__file__).parent
# of embeddings the first four, of answers and decoded texts all
COMPUTING = ("backbone", "cpu", "encoder.py", "text_tokenizer.py", "answering", "decoder.py")


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Return a hash of the sources that compute: other kernels are other last bits, or more."""
    digest = hashlib.sha256()
    for name in COMPUTING:
        path = package / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()
