"""What a part of the figures was measured with: parts are measured at different times."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.processor import this_machine
from llm2vec_gen_rag.evaluation.provenance import checkout_commit

ROOT = Path(__file__).parents[1]
LIBRARIES = ("torch", "transformers")

Record = dict[str, Any]


def record_now(fingerprint: str | None) -> Record:
    """Return what a measurement is made with; to be called before it begins.

    Args:
        fingerprint: of the model that is measured; None where there is none.
    """
    machine = this_machine(torch.get_num_threads())
    return {
        "commit": code_commit(),
        "fingerprint": fingerprint,
        "processor": machine.processor,
        "family": machine.family,
        "model": machine.model,
        "threads": machine.threads,
        "versions": {name: version(name) for name in LIBRARIES},
    }


def code_commit(root: Path = ROOT) -> str | None:
    """Return the commit of the checkout, followed by "-dirty" if its code has changed.

    What is measured is written to docs/ and to results of benchmarks, which must not mark what is
    measured next as dirty.
    """
    commit = checkout_commit(root / "llm2vec_gen_rag")
    if commit is None or not commit.endswith("-dirty"):
        return commit
    code = [".", ":(exclude)docs", ":(exclude)benchmarks/results"]
    changed = ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no", "--", *code]
    status = subprocess.run(changed, capture_output=True, text=True, check=True)
    return commit if status.stdout else commit.removesuffix("-dirty")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
