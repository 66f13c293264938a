"""How a figure was measured, in enough detail to measure it again."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llm2vec_gen_rag.model import LLM2VecGen

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("torch", "transformers", "mteb")


@dataclass(frozen=True)
class Provenance:
    """How a figure was measured; without a date, so that the same run writes the same file.

    Attributes:
        command: as it was typed.
        seed: of all that is drawn at random; None if nothing is.
        version: of this package.
        commit: of the checkout that it ran from, followed by "-dirty" if files had changed; None
            for an installed package.
        model: the checkpoint's name, as it was given.
        revision: its commit on the hub; None for a folder.
        fingerprint: see `LLM2VecGen.fingerprint`.
        dtype: of the LLM.
        device: of the LLM.
        libraries: versions of the libraries that the figures can depend on.
    """

    command: str
    seed: int | None
    version: str
    commit: str | None
    model: str
    revision: str | None
    fingerprint: str
    dtype: str
    device: str
    libraries: dict[str, str]

    def as_text(self) -> str:
        """Return one line for people."""
        seed = "nothing random" if self.seed is None else f"seed {self.seed}"
        made = self.commit or f"version {self.version}"
        return f"made by: {self.command} · {seed} · {made} · {self.dtype} on {self.device}"


def provenance(model: LLM2VecGen, command: str, seed: int | None, commit: str | None) -> Provenance:
    """Describe a run.

    Args:
        model: what is measured.
        command: as it was typed.
        seed: see `Provenance`.
        commit: `checkout_commit` as it was before the run, during which files may change.

    Returns:
        The description.
    """
    return Provenance(
        command=command,
        seed=seed,
        version=version("llm2vec-gen-rag"),
        commit=commit,
        model=model.name,
        revision=model.revision,
        fingerprint=model.fingerprint,
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        libraries={name: found for name in LIBRARIES if (found := _version(name))},
    )


def checkout_commit(folder: Path = PACKAGE) -> str | None:
    """Return the commit of the git checkout that tracks a package's folder; None if none does.

    A package installed into an environment inside somebody's repository is not tracked by it.
    """
    if not _git(folder, "ls-files", "--", "__init__.py"):
        return None
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return git's output; None without git, or outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
