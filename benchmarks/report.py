"""Write docs/performance.md: goals.yaml against the figures in results, in performance.md's words.

python -m benchmarks.report [--here]

With --here, print the goals for the kind of processor of this machine, and write nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import RESULTS
from benchmarks.engine_tables import HEADER, EngineTable, engine_tables
from benchmarks.goals import Goal, Results, Spread, read_goals, written
from benchmarks.processor import EXPECTED_KINDS, KINDS, Machine, this_machine

TEMPLATE = Path(__file__).parent / "performance.md"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MISSING = "not measured"

SECTIONS = {
    "encode": "Documents and queries per second",
    "peers": "Other engines",
    "decode": "Decoding",
    "query": "One query by the models that ship",
    "hyde": "One query against HyDE",
    "memory": "Memory and load time",
    "rag_memory": "Memory of a whole RAG answer",
    "scale": "Scale",
    "processes": "One process per core",
    "busy": "Beside a busy core",
    "int8": "8 bits",
    "training": "Training",
}


def main() -> None:
    """Write the page, or print the goals for this machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--here", action="store_true", help="print the goals for this machine")
    measured = read_results(RESULTS)
    if parser.parse_args().here:
        machine = this_machine(os.cpu_count() or 1)
        print(goals_here(machine, measured.get(machine.kind, {})))
    else:
        PAGE.write_text(page(measured), encoding="utf-8")


def read_results(folder: Path) -> dict[str, Results]:
    """Return the figures of every file of results, by kind of processor and the file's name."""
    return {
        kind: {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((folder / kind).glob("*.json"))
        }
        for kind in KINDS
        if any((folder / kind).glob("*.json"))
    }


def page(measured: Mapping[str, Results]) -> str:
    """Return the text of the page."""
    goals = read_goals()
    tables = [goals_table(title, rows, measured) for title, rows in goals.items()]
    return TEMPLATE.read_text(encoding="utf-8").format(
        processors=processors(measured),
        goals="\n\n".join(tables),
        unmeasured=unmeasured([goal for rows in goals.values() for goal in rows], measured),
        engines="\n\n".join(map(beside, engine_tables(measured))),
        readings="\n\n".join(readings(measured)),
        measurements=measurements(measured),
    )


def processors(measured: Mapping[str, Results]) -> str:
    """Return a table of the kinds of processors, and what each was measured on."""
    rows = []
    for kind, fastest in KINDS.items():
        machines = [described(figures["machine"]) for figures in measured.get(kind, {}).values()]
        if machines or kind in EXPECTED_KINDS:
            rows.append(
                [f"`{kind}`", fastest, "; ".join(dict.fromkeys(machines)) or f"**{MISSING}**"]
            )
    return table(["kind", "instructions for matrix products", "measured on"], rows)


def described(machine: Mapping[str, Any]) -> str:
    """Return a machine in words; older figures are without its processor's family and model."""
    family = machine.get("family")
    which = "" if family is None else f" (family {family}, model {machine['model']})"
    return f"{machine['processor']}{which}, {machine['threads']} threads, torch {machine['torch']}"


def goals_table(title: str, rows: Iterable[Goal], measured: Mapping[str, Results]) -> str:
    """Return the table of what is to be reached, and what was on each kind of processor."""
    header = [title, "goal", "limit", *(f"`{kind}`" for kind in measured)]
    cells = [[goal.label, goal.bounds(), goal.limit, *_cells(goal, measured)] for goal in rows]
    return table(header, cells)


def _cells(goal: Goal, measured: Mapping[str, Results]) -> list[str]:
    """Return what was measured on each kind of processor, and whether it reaches the goal."""
    cells = []
    for kind, results in measured.items():
        spread = goal.spread(results)
        figures = "" if spread is None else f"{written(spread, strong='**')}, "
        cells.append(figures + _verdict(goal, spread, kind))
    return cells


def unmeasured(goals: Iterable[Goal], measured: Mapping[str, Results]) -> str:
    """Return the commands that measure what no kind of processor has a figure for."""
    commands = [
        f"`{goal.command}`"
        for goal in goals
        if all(goal.spread(results) is None for results in measured.values())
    ]
    if not commands:
        return "Every goal is measured on at least one kind."
    listed = ", ".join(dict.fromkeys(commands))
    return f"Some goals have not been measured on any kind yet; these programs do: {listed}."


def beside(engines: EngineTable) -> str:
    """Return the table of one run of all engines, and what it leaves out."""
    left_out = f"\n\nNot measured: {engines.left_out}." if engines.left_out else ""
    return f"{engines.title}:\n\n{table(HEADER, engines.rows)}{left_out}"


def readings(measured: Mapping[str, Results]) -> Iterable[str]:
    """Yield what was written by hand about the figures of each kind of processor."""
    for kind in measured:
        path = RESULTS / kind / "reading.md"
        if path.is_file():
            yield f"### On `{kind}`\n\n{path.read_text(encoding='utf-8').strip()}"


def measurements(measured: Mapping[str, Results]) -> str:
    """Return a table of the commands, with the figures and the plot of each kind of processor."""
    names = {name for results in measured.values() for name in results}
    rows = [
        [f"**{section}**<br>`python -m benchmarks.{program} --shape {name.partition('.')[2]}`"]
        + [_figures(kind, name, results) for kind, results in measured.items()]
        for program, section in SECTIONS.items()
        for name in sorted(names)
        if name.partition(".")[0] == program
    ]
    return table(["measurement", *(f"`{kind}`" for kind in measured)], rows)


def _figures(kind: str, name: str, results: Results) -> str:
    """Return a link to figures, and their plot if there is one."""
    if name not in results:
        return MISSING
    figures = results[name]
    texts = f", texts: {figures['texts']}" if "texts" in figures else ""
    link = f"[figures](../benchmarks/results/{kind}/{name}.json)"
    cell = f"{link} (rounds: {figures['rounds']}{texts})"
    plot = f"plots/{kind}/{name}.png"
    return f"{cell}<br>![{name}, {kind}]({plot})" if (PAGE.parent / plot).is_file() else cell


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in [header, *rows]]
    lines.insert(1, "|---" * len(header) + "|")
    return "\n".join(lines)


def goals_here(machine: Machine, results: Results) -> str:
    """Return the goals for a machine's kind of processor, with its figures, as plain text."""
    measured_on = dict.fromkeys(described(figures["machine"]) for figures in results.values())
    lines = [
        f"this machine: {described(asdict(machine))}",
        f"kind: {machine.kind} ({KINDS[machine.kind]})",
        f"figures of this kind: {'; '.join(measured_on) or 'none yet; make bench measures them'}",
    ]
    for title, goals in read_goals().items():
        lines += ["", title.replace("`", "")]
        lines += [_line(goal, machine.kind, results) for goal in goals]
    return "\n".join(lines)


def _line(goal: Goal, kind: str, results: Results) -> str:
    spread = goal.spread(results)
    figures = "" if spread is None else written(spread)
    label = goal.label.replace("`", "")
    return f"  {_verdict(goal, spread, kind):<12}  {goal.bound_on(kind):<8} {figures:<28} {label}"


def _verdict(goal: Goal, spread: Spread | None, kind: str) -> str:
    """Return whether a figure reaches a goal on a kind of processor, in a word or two."""
    if spread is None:
        return MISSING
    return "reached" if goal.reached(spread, kind) else "missed"


if __name__ == "__main__":
    main()
