"""The goals in goals.yaml, and whether what was measured on a kind of processor reaches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

Figures = dict[str, Any]
# of a processor, by the name of their file
Results = dict[str, Figures]
# minimum, median and maximum of the rounds
Spread = dict[str, float]
# for every kind of processor, or by kind, with "else" for the kinds that are not named
Bound = float | Mapping[str, float]

GOALS = Path(__file__).parent / "goals.yaml"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure and what it has to reach; goals.yaml says what the fields mean."""

    label: str
    results: str
    figure: Sequence[str]
    at_least: Bound | None = None
    at_most: Bound | None = None
    limit: str = ""
    judged: str = "median"

    @property
    def command(self) -> str:
        """The command that measures the figure."""
        program, _, shape = self.results.partition(".")
        return f"python -m benchmarks.{program} --shape {shape}"

    def spread(self, results: Results) -> Spread | None:
        """Return the figure's minimum, median and maximum; None if it is not measured."""
        found: Any = results.get(self.results)
        for key in self.figure:
            if found is None:
                return None
            found = found.get(key)
        return cast("Spread | None", found)

    def reached(self, spread: Spread, kind: str) -> bool:
        """Return whether a figure, measured on a kind of processor, reaches the goal."""
        value, (bound, sign) = spread[self.judged], self._bound()
        wanted = of_kind(bound, kind)
        return value >= wanted if sign == "≥" else value <= wanted

    def bound_on(self, kind: str) -> str:
        """Return the goal on a kind of processor, such as "≥ 1.4"."""
        bound, sign = self._bound()
        return f"{sign} {of_kind(bound, kind):g}"

    def bounds(self) -> str:
        """Return the goal on all kinds, such as "≥ 1.4, on `amx` ≥ 1.8"."""
        bound, _ = self._bound()
        kinds = [kind for kind in bound if kind != "else"] if isinstance(bound, Mapping) else []
        exceptions = [f"on `{kind}` {self.bound_on(kind)}" for kind in kinds]
        return ", ".join([self.bound_on("else"), *exceptions])

    def _bound(self) -> tuple[Bound, str]:
        """Return the bound and its sign."""
        if self.at_least is not None:
            return self.at_least, "≥"
        assert self.at_most is not None
        return self.at_most, "≤"


def of_kind(bound: Bound, kind: str) -> float:
    """Return the bound for a kind of processor."""
    return bound.get(kind, bound["else"]) if isinstance(bound, Mapping) else bound


def written(spread: Spread, *, strong: str = "") -> str:
    """Return the median, between two marks, and the lowest and the highest value."""
    low, middle, high = (f"{spread[key]:.3g}" for key in ("minimum", "median", "maximum"))
    return f"{strong}{middle}{strong} ({low} to {high})"


def read_goals() -> dict[str, list[Goal]]:
    """Return the goals of every table, by its title."""
    tables = yaml.safe_load(GOALS.read_text(encoding="utf-8"))
    return {title: [Goal(**row) for row in rows] for title, rows in tables.items()}
