"""A digest of what computes vectors and answers, for the keys they are kept under."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import llm2vec_gen_rag

PACKAGE = Path(llm2vec_gen_rag.__file__).parent
COMPUTING = (
    "backbone", "cpu", "encoder.py", "batching.py", "text_tokenizer.py", "model.py", "teachers",
    "answering", "decoder.py",
)  # fmt: skip
LIBRARIES = ("torch", "transformers", "sentence-transformers")


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Return a hash of sources and versions: other kernels are other last bits, or more."""
    digest = hashlib.sha256(" ".join(map(version, LIBRARIES)).encode())
    for name in COMPUTING:
        path = package / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()
