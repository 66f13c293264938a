"""A run cut into shards: which queries are a shard's, and which files belong to one run."""

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
        count: how many parts there are.
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
        """Return the shard that a text such as `2/4` names.

        Raises:
            ValueError: if it names none.
        """
        if not (match := re.fullmatch(r"([0-9]+)/([0-9]+)", text)):
            raise ValueError(f"{text!r} is not a shard; expected i/n, such as 2/4")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_file(cls, path: Path) -> Shard | None:
        """Return the shard whose file this is; None if it is the file of a whole run."""
        match = _SHARD_NAME.fullmatch(path.name)
        return None if match is None else cls(int(match[2]), int(match[3]))

    def of(self, queries: Sequence[str]) -> list[str]:
        """Return this shard's queries: every n-th, from the i-th on.

        Each query is in exactly one of the n shards, and queries added at the end of the list
        leave those before them where they were.

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
    """Return the files of a run that exist: the one without shards, and one for each shard.

    Args:
        path: the run's file, as without shards, or the file of any of its shards.
    """
    path = Path(path)
    stem = _run_stem(path)
    shards = {file for file in path.parent.glob("*.jsonl") if _run_stem(file) == stem}
    return sorted(file for file in shards | {path} if file.is_file())


def _run_stem(path: Path) -> str:
    """Return the name that all files of a run begin with."""
    match = _SHARD_NAME.fullmatch(path.name)
    return match[1] if match else path.name.removesuffix(".jsonl")
