"""Vectors and answers kept in a folder of work, so that a stopped run resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_texts.ranking import Vectors
from llm2vec_gen_rag.files import replacing, write_json

Arrays = dict[str, Vectors]
Record = dict[str, Any]


class KeptVectors:
    """A folder of work: one .npz for each list of texts and way to embed it."""

    def __init__(self, folder: Path) -> None:
        """Keep vectors in a folder, which is created."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def arrays(self, name: str, made_of: Sequence[str], compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of that name, computed unless the folder has them.

        Args:
            name: of the file, such as "scifact.ours".
            made_of: all that decides the arrays; those of anything else are computed again.
            compute: what to do where they are missing.
        """
        file = self.folder / f"{name}.npz"
        digest = _digest(made_of)
        if file.is_file():
            with np.load(file) as stored:
                if str(stored["digest"]) == digest:
                    return {key: stored[key] for key in stored.files if key != "digest"}
        found = compute()
        with replacing(file) as partial, partial.open("wb") as stream:
            np.savez(stream, digest=np.array(digest), **found)  # type: ignore[arg-type]
        return found

    def record(self, name: str, made_of: Sequence[str], compute: Callable[[], Record]) -> Record:
        """Return the record of that name, which JSON can hold; see `arrays`."""
        file = self.folder / f"{name}.json"
        digest = _digest(made_of)
        if file.is_file():
            stored: Record = json.loads(file.read_text(encoding="utf-8"))
            if stored.pop("digest") == digest:
                return stored
        found = compute()
        write_json(file, {"digest": digest, **found})
        return found


def _digest(made_of: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(made_of)).encode()).hexdigest()
