"""Write docs/performance.md: goals.yaml against the figures in results, in performance.md's words.

python -m benchmarks.report [--here]

With --here, print the goals for the processor of this machine, and write nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import RESULTS
from benchmarks.engine_tables import HEADER, EngineTable, engine_tables
from benchmarks.figures import usable_cores
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
        machine = this_machine(usable_cores())
        print(goals_here(machine, measured.get(machine.folder, {})))
    else:
        PAGE.write_text(page(measured), encoding="utf-8")


def read_results(folder: Path) -> dict[str, Results]:
    """Return the figures of every file of results, by its folder's name and its own.

    There is a folder for each processor, and they are in the order of `KINDS`.
    """
    measured: dict[str, Results] = {}
    for path in sorted(folder.glob("*/*.json")):
        results = measured.setdefault(path.parent.name, {})
        results[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    kinds = list(KINDS)
    return dict(sorted(measured.items(), key=lambda item: kinds.index(kind_of_results(item[1]))))


def kind_of_results(results: Results) -> str:
    """Return the kind of the processor that figures come from."""
    kind: str = next(iter(results.values()))["machine"]["kind"]
    return kind


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
    """Return a table of the processors, and of the kinds of which none was measured."""
    rows = []
    for name, results in measured.items():
        rows.append([f"`{name}`", KINDS[kind_of_results(results)], machines_of(results)])
    found = [kind_of_results(results) for results in measured.values()]
    missing = [kind for kind in EXPECTED_KINDS if kind not in found]
    rows += [[f"`{kind}`", KINDS[kind], f"**{MISSING}**"] for kind in missing]
    return table(["processor", "instructions for matrix products", "measured on"], rows)


def machines_of(results: Results) -> str:
    """Return the machines that figures come from, in words; one as a rule."""
    machines = (Machine(**figures["machine"]) for figures in results.values())
    return "; ".join(dict.fromkeys(map(described, machines)))


def described(machine: Machine) -> str:
    """Return a machine in words; not every processor has a family and a model."""
    which = "" if machine.family is None else f" (family {machine.family}, model {machine.model})"
    kept = f", torch kept to {machine.kept_to}" if machine.kept_to else ""
    name = f"{machine.processor}{which}{kept}"
    return f"{name}, {machine.threads} threads, torch {machine.torch}"


def goals_table(title: str, rows: Iterable[Goal], measured: Mapping[str, Results]) -> str:
    """Return the table of what is to be reached, and what was on each processor."""
    header = [title, "goal", "limit", *(f"`{name}`" for name in measured)]
    cells = [[goal.label, goal.bounds(), goal.limit, *_cells(goal, measured)] for goal in rows]
    return table(header, cells)


def _cells(goal: Goal, measured: Mapping[str, Results]) -> list[str]:
    """Return what was measured on each processor, and whether it reaches the goal."""
    cells = []
    for results in measured.values():
        spread = goal.spread(results)
        figures = "" if spread is None else f"{written(spread, strong='**')}, "
        cells.append(figures + _verdict(goal, spread, kind_of_results(results)))
    return cells


def unmeasured(goals: Iterable[Goal], measured: Mapping[str, Results]) -> str:
    """Return the commands that measure what no processor has a figure for, or what only one has."""
    counted = [
        (goal, sum(goal.spread(results) is not None for results in measured.values()))
        for goal in goals
    ]
    commands = [f"`{goal.command}`" for goal, count in counted if count == 0]
    if not commands:
        once = sum(count == 1 for _, count in counted)
        return f"Of {len(counted)} goals, {once} are measured on one processor, the others on more."
    listed = ", ".join(dict.fromkeys(commands))
    return f"Some goals have not been measured on any processor yet; these programs do: {listed}."


def beside(engines: EngineTable) -> str:
    """Return the table of one run of all engines, and what it leaves out."""
    left_out = f"\n\nNot measured: {engines.left_out}." if engines.left_out else ""
    return f"{engines.title}:\n\n{table(HEADER, engines.rows)}{left_out}"


def readings(measured: Mapping[str, Results]) -> Iterable[str]:
    """Yield what was written by hand about the figures of each processor."""
    for name in measured:
        path = RESULTS / name / "reading.md"
        if path.is_file():
            yield f"### On `{name}`\n\n{path.read_text(encoding='utf-8').strip()}"


def measurements(measured: Mapping[str, Results]) -> str:
    """Return a table of the commands, with the figures and the plot of each processor."""
    names = {name for results in measured.values() for name in results}
    rows = [
        [f"**{section}**<br>`python -m benchmarks.{program} --shape {name.partition('.')[2]}`"]
        + [_figures(processor, name, results) for processor, results in measured.items()]
        for program, section in SECTIONS.items()
        for name in sorted(names)
        if name.partition(".")[0] == program
    ]
    return table(["measurement", *(f"`{processor}`" for processor in measured)], rows)


def _figures(processor: str, name: str, results: Results) -> str:
    """Return a link to figures, and their plot if there is one."""
    if name not in results:
        return MISSING
    figures = results[name]
    texts = f", texts: {figures['texts']}" if "texts" in figures else ""
    link = f"[figures](../benchmarks/results/{processor}/{name}.json)"
    cell = f"{link} (rounds: {figures['rounds']}{texts})"
    plot = f"plots/{processor}/{name}.png"
    return f"{cell}<br>![{name}, {processor}]({plot})" if (PAGE.parent / plot).is_file() else cell


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in [header, *rows]]
    lines.insert(1, "|---" * len(header) + "|")
    return "\n".join(lines)


def goals_here(machine: Machine, results: Results) -> str:
    """Return the goals for a machine's processor, with its figures, as plain text."""
    measured_on = machines_of(results) or "none yet; make bench measures them"
    lines = [
        f"this machine: {described(machine)}",
        f"kind: {machine.kind} ({KINDS[machine.kind]})",
        f"figures of this processor: {measured_on}",
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
