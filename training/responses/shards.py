"""Shards of a run: which queries each answers, and which files belong to one run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SHARD_NAME = re.compile(r"(.+)-([0-9]+)-of-([0-9]+)\.jsonl")


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a list of queries, for one of several machines.

    Attributes:
        index: which part, from 1.
        count: of the parts.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"shard {self.index}/{self.count} does not exist; expected i/n with i from 1 to n, "
                "such as 2/4"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a string such as `2/4` names; raise ValueError if it names none."""
        if not (match := re.fullmatch(r"([0-9]+)/([0-9]+)", text)):
            raise ValueError(f"{text!r} is not a shard; expected i/n, such as 2/4")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_file(cls, path: Path) -> Shard | None:
        """Return the shard of a file; None for the file of a run without shards."""
        match = _SHARD_NAME.fullmatch(path.name)
        return None if match is None else cls(int(match[2]), int(match[3]))

    def of(self, queries: Sequence[str]) -> list[str]:
        """Return this shard's queries: every n-th, from the i-th on.

        Each query is in exactly one of the n shards, and queries added at the end of the list do
        not move those before them to another shard.

        Args:
            queries: all queries of the run.

        Returns:
            At least one query.

        Raises:
            ValueError: if there are fewer queries than shards, so that this one is empty.
        """
        if len(queries) < self.index:
            raise ValueError(
                f"shard {self.index}/{self.count} of {len(queries)} queries is empty; expected at "
                "least as many queries as shards. Cut the run into fewer."
            )
        return list(queries[self.index - 1 :: self.count])

    def path(self, path: str | Path) -> Path:
        """Return this shard's own file: `responses-2-of-4.jsonl` for `responses.jsonl`."""
        path = Path(path)
        stem = path.name.removesuffix(".jsonl")
        return path.with_name(f"{stem}-{self.index}-of-{self.count}.jsonl")


def run_files(path: str | Path) -> list[Path]:
    """Return the existing files of a run: the one without shards, and those of its shards.

    Args:
        path: the run's file, as without shards, or the file of any of its shards.

    Returns:
        Their paths, sorted.
    """
    path = Path(path)
    stem = _run_stem(path)
    shards = {file for file in path.parent.glob("*.jsonl") if _run_stem(file) == stem}
    return sorted(file for file in shards | {path} if file.is_file())


def _run_stem(path: Path) -> str:
    """Return the name that all files of a run begin with."""
    match = _SHARD_NAME.fullmatch(path.name)
    return match[1] if match else path.name.removesuffix(".jsonl")
