"""The command line of `python -m benchmarks.real_texts`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.real_texts.accuracy import DTYPES
from benchmarks.real_texts.frozen_states import MIDDLE
from benchmarks.real_texts.retrieval_sets import CUTS

OUTPUT = Path("docs/evidence/real_texts.json")
PAGE = Path("docs/real_texts.md")
PARTS = ("sets", "unseen", "whole", "latency", "safety", "overlap", "decoded", "hyde")


def labelled(text: str) -> tuple[str, Path]:
    """Return a label and the folder behind its last `=`."""
    label, _, folder = text.rpartition("=")
    if not label or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no LABEL=FOLDER with a folder that exists")
    return label, Path(folder)


def parse(description: str | None) -> argparse.Namespace:
    """Return the arguments; what is missing for a measurement is an error."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="smollm2", help="name or folder")
    add("--teacher", type=Path, help="folder of all-MiniLM-L6-v2, which the model was trained with")
    add("--data", type=Path, help="folder of folders")
    add("--rows", type=Path, help="the training rows of every round, JSON lines")
    add("--ordinary", type=Path, help="questions, JSON lines; those of the rows are left out")
    add("--third-encoder", type=Path, help="folder of all-mpnet-base-v2, or of another encoder")
    add("--output", type=Path, default=OUTPUT, help="JSON file (default: %(default)s)")
    add("--page", type=Path, default=PAGE, help="Markdown file (default: %(default)s)")
    add("--work", type=Path, default=Path("runs/real_texts"), help="default: %(default)s")
    add("--sets", nargs="+", default=tuple(CUTS), choices=tuple(CUTS), help="default: all")
    add("--documents", type=int, help="of each set, at most")
    add("--queries", type=int, help="of each set, at most")
    add("--max-length", type=int, default=128, help="tokens of a text (default: %(default)s)")
    add("--middle", type=int, default=MIDDLE, help="layer to whiten (default: %(default)s)")
    add("--hyde", type=int, default=60, help="queries of each set to answer (default: %(default)s)")
    add("--parts", nargs="+", default=PARTS, choices=PARTS, help="of the page (default: all)")
    add("--ordinary-trained", type=int, default=500, help="for the regression (%(default)s)")
    add("--held-out", type=int, default=1000, help="ordinary questions (default: %(default)s)")
    add("--accuracy", action="store_true", help="measure dtypes instead, on scifact and xquad")
    add("--dtypes", nargs="+", default=DTYPES, choices=DTYPES, help="default: both")
    add("--recipe", action="append", type=labelled, metavar="LABEL=CHECKPOINT", help="see above")
    add("--variants", type=Path, help="folder of the short training runs")
    add("--only-page", action="store_true", help="write the page from the output")
    arguments = parser.parse_args()
    needed = [] if arguments.only_page else ["data"]
    others = arguments.accuracy, arguments.recipe, arguments.variants
    if not (arguments.only_page or any(others)):
        needed += ["teacher", "rows", "ordinary"]
        needed += ["third_encoder"] if "decoded" in arguments.parts else []
    if missing := [name for name in needed if getattr(arguments, name) is None]:
        parser.error(f"missing {', '.join(f'--{name}'.replace('_', '-') for name in missing)}")
    return arguments
