"""Write docs/performance.md: goals.yaml against the figures in results, in performance.md's words.

python -m benchmarks.report
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import RESULTS

Figures = dict[str, Any]

GOALS = Path(__file__).parent / "goals.yaml"
TEMPLATE = Path(__file__).parent / "performance.md"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"

SECTIONS = {
    "encode": "Documents and queries per second",
    "decode": "Decoding",
    "hyde": "One query against HyDE",
    "memory": "Memory and load time",
    "rag_memory": "Memory of a whole RAG answer",
    "scale": "Scale",
    "processes": "One process per core",
    "busy": "Beside a busy core",
    "int8": "8 bits",
    "training": "Training",
}


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure and what it has to reach; goals.yaml says what the fields mean."""

    label: str
    results: str
    figure: Sequence[str]
    at_least: float | None = None
    at_most: float | None = None
    limit: str = ""
    judged: str = "median"

    def row(self, results: dict[str, Figures]) -> list[str]:
        """Return the goal, what was measured, and whether it was reached, as cells of a table."""
        goal = f"≤ {self.at_most:g}" if self.at_least is None else f"≥ {self.at_least:g}"
        figures = results.get(self.results)
        if figures is None:
            program, _, shape = self.results.partition(".")
            missing = f"not yet measured: `python -m benchmarks.{program} --shape {shape}`"
            return [self.label, goal, missing, "", "", self.limit, ""]
        for key in self.figure:
            figures = figures[key]
        low, middle, high = (f"{figures[key]:.3g}" for key in ("minimum", "median", "maximum"))
        reached = "yes" if self.reached(figures[self.judged]) else "no"
        return [self.label, goal, low, f"**{middle}**", high, self.limit, reached]

    def reached(self, value: float) -> bool:
        """Return whether a value is on the right side of the goal."""
        enough = self.at_least is None or value >= self.at_least
        return enough and (self.at_most is None or value <= self.at_most)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read_results(RESULTS)), encoding="utf-8")


def read_results(folder: Path) -> dict[str, Figures]:
    """Return the figures of every file of results, by its name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def read_goals() -> dict[str, list[Goal]]:
    """Return the goals of every table, by its title."""
    tables = yaml.safe_load(GOALS.read_text(encoding="utf-8"))
    return {title: [Goal(**row) for row in rows] for title, rows in tables.items()}


def page(results: dict[str, Figures]) -> str:
    """Return the text of the page."""
    tables = [goals_table(title, rows, results) for title, rows in read_goals().items()]
    sections = [section(program, results) for program in SECTIONS]
    return TEMPLATE.read_text(encoding="utf-8").format(
        machines=machines(results),
        summary="\n\n".join(tables),
        reading=(RESULTS / "reading.md").read_text(encoding="utf-8").rstrip(),  # written by hand
        measurements="\n\n".join(section for section in sections if section),
    )


def machines(results: dict[str, Figures]) -> str:
    """Return what the figures were measured on."""
    lines = {json.dumps(figures["machine"]): figures["machine"] for figures in results.values()}
    return "\n\n".join(
        f"Measured on {m['processor']}, {m['threads']} threads, torch {m['torch']}, "
        f"{'with' if m['native_bfloat16'] else 'without'} native bfloat16."
        for m in lines.values()
    )


def goals_table(title: str, rows: Iterable[Goal], results: dict[str, Figures]) -> str:
    """Return the table of what was to be reached and what was."""
    header = [title, "goal", "lowest", "median", "highest", "limit", "reached"]
    return table(header, [row.row(results) for row in rows])


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in [header, *rows]]
    lines.insert(1, "|---" * len(header) + "|")
    return "\n".join(lines)


def section(program: str, results: dict[str, Figures]) -> str:
    """Return the commands of a program, each with a link to its figures, and its plots."""
    lines, plots = [], []
    for name, figures in results.items():
        if name.partition(".")[0] != program:
            continue
        command = f"`{figures['program']} --rounds {figures['rounds']}`"
        texts = f" (texts: {figures['texts']})" if "texts" in figures else ""
        lines.append(f"- {command}{texts}: [figures](../benchmarks/results/{name}.json)")
        if (PAGE.parent / "plots" / f"{name}.png").is_file():
            plots.append(f"![{name}](plots/{name}.png)")
    if not lines:
        return ""
    parts = (f"### {SECTIONS[program]}", "\n".join(lines), "\n".join(plots))
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    main()
