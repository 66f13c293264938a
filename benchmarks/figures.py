"""The options of every program, and how its figures are summed up, printed and written."""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import RESULTS
from benchmarks.checkpoints import SHAPES
from benchmarks.processor import this_machine
from benchmarks.provenance import code_commit

Measured = TypeVar("Measured")


def parse(description: str | None, *, rounds: int, shape: str = "0.6b") -> argparse.Namespace:
    """Return the options that every program takes, with its own defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=[*SHAPES], default=shape)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--texts", type=Path, help="folder in the BEIR layout; else a stand-in")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="has a folder for each processor"
    )
    options = parser.parse_args()
    options.commit = code_commit()  # before anything is measured
    check_threads(options.results / this_machine(options.threads).folder, options.threads)
    return options


def usable_cores() -> int:
    """Return how many cores this process may use; a container may leave it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_turn(rounds: int, ways: Mapping[str, Callable[[], Measured]]) -> dict[str, list[Measured]]:
    """Measure each of several things once a round, in turn; return what each round gave."""
    measured: dict[str, list[Measured]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, measure in ways.items():
            measured[way].append(measure())
    return measured


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return minimum, median and maximum, each to four digits."""
    found = {
        "minimum": min(values),
        "median": statistics.median(values),
        "maximum": max(values),
    }
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Return the spread of the quotients of two lists, round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def keep(name: str, figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Print figures, with what they were measured on, and write them to `folder/name.shape.json`.

    The folder is that of this machine's processor: each keeps figures of its own.
    """
    machine = this_machine(options.threads)
    folder = f" --texts {options.texts.name}" if "texts" in figures and options.texts else ""
    run = {
        "program": f"python -m benchmarks.{name} --shape {options.shape}{folder}",
        "commit": options.commit,
        "shape": options.shape,
        "rounds": options.rounds,
        "machine": asdict(machine),
    }
    text = json.dumps({**run, **figures}, indent=2)
    print(text)
    folder = options.results / machine.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.{options.shape}.json").write_text(text + "\n", encoding="utf-8")


def check_threads(folder: Path, threads: int) -> None:
    """Raise `SystemExit` if a processor's folder has figures of another number of threads."""
    for file in folder.glob("*.json"):
        before = json.loads(file.read_text(encoding="utf-8"))["machine"]["threads"]
        if before != threads:
            raise SystemExit(
                f"{file} has figures of {before} threads, and these will be of {threads}: they "
                "would mix on one page. Pass another folder as --results."
            )
