"""What a program is run with, and how what it measured is summed up, shown and kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import RESULTS
from benchmarks.shapes import SHAPES


def parse(description: str | None, *, rounds: int, shape: str) -> argparse.Namespace:
    """Return the options that every program takes.

    Args:
        description: the program's own.
        rounds: how many it makes, unless told otherwise.
        shape: which one it measures, unless told otherwise.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=[*SHAPES], default=shape)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--texts", type=Path, help="folder in the BEIR layout; else a stand-in")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON file")
    return parser.parse_args()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return minimum, median and maximum."""
    ordered = {
        "minimum": min(values),
        "median": statistics.median(values),
        "maximum": max(values),
    }
    return {name: float(f"{value:.4g}") for name, value in ordered.items()}


def ratios(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Return the spread of one list over another, round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def machine(threads: int) -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "processor": _processor(),
        "threads": threads,
        "torch": torch.__version__,
        "native_bfloat16": bool(
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        ),
    }


def keep(name: str, figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Print figures and write them to `name.shape.json`."""
    run = {
        "program": f"python -m benchmarks.{name} --shape {options.shape}",
        "shape": options.shape,
        "rounds": options.rounds,
        "machine": machine(options.threads),
    }
    text = json.dumps({**run, **figures}, indent=2)
    print(text)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{name}.{options.shape}.json").write_text(text + "\n", encoding="utf-8")


def _processor() -> str:
    """Return the processor's name; Linux keeps it in a file."""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
