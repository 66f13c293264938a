"""What two vectors of the same points find for one query, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from llm2vec_gen_rag.qdrant.documents import Hit


@dataclass(frozen=True)
class Comparison:
    """The hits of one query by the old vectors and by ours.

    Attributes:
        query: The query.
        old: What the old vectors find, best first.
        new: What ours find, best first.
    """

    query: str
    old: tuple[Hit, ...]
    new: tuple[Hit, ...]

    @property
    def shared(self) -> int:
        """Return how many hits both rankings have."""
        return len({hit.id for hit in self.old} & {hit.id for hit in self.new})

    def table(self, width: int = 80) -> str:
        """Return both rankings side by side.

        Args:
            width: Columns to fill.

        Returns:
            Lines: the query, and each rank with the beginnings of both texts. A hit's rank in the
            other ranking follows its own, as in ``1 (3)``; ``(-)`` is a hit that the other lacks.
        """
        half = (width - 3) // 2
        lines = [_line(self.query), f"{'old':<{half}} | new"]
        for rank, (old, new) in enumerate(zip_longest(self.old, self.new), start=1):
            left, right = _cell(rank, old, self.new), _cell(rank, new, self.old)
            lines.append(f"{_cut(left, half):<{half}} | {_cut(right, half)}".rstrip())
        return "\n".join(lines)


def _cell(rank: int, hit: Hit | None, others: tuple[Hit, ...]) -> str:
    if hit is None:
        return ""
    ranks = [str(r) for r, other in enumerate(others, start=1) if other.id == hit.id]
    return f"{rank} ({''.join(ranks) or '-'}) {hit.score:.3f} {_line(hit.text)}"


def _cut(text: str, width: int) -> str:
    """Return a text that is not longer than `width`, cut behind a word if there is one."""
    if len(text) <= width:
        return text
    end = text.rfind(" ", 0, width - 2)
    return f"{text[: end if end > 0 else width - 3]}..."


def _line(text: str) -> str:
    """Return a text on one line, without what a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
