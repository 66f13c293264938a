"""`gate calibrate`: make a refusal gate from prompts, for `search --gate-from`."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.lines import read_lines
from llm2vec_gen_rag.commands.options import (
    DOCUMENTS_MODEL,
    add_model_options,
    load_model,
    new_command,
    shows_progress,
)
from llm2vec_gen_rag.commands.output import print_json, quoted

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

SUMMARY = "Make a refusal gate: which queries a search refuses, by their embeddings."

EXAMPLES = """\
  llm2vec-gen-rag gate calibrate --harmful harmful.txt --benign benign.txt --output my-gate
  llm2vec-gen-rag search "how do I poison my neighbour" --gate-from my-gate"""

CALIBRATE = """\
Make a refusal gate from prompts, one a line, and say what to expect of it.

Prompts of one topic should follow each other. At least 20 are harmful; benign ones are
questions that users ask and prompts that only look harmful, at least 5 / RATE."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "gate",
        help=SUMMARY,
        description=SUMMARY,
        epilog=f"examples:\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stages = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    calibrate = new_command(stages, "calibrate", run, summary=CALIBRATE, examples=EXAMPLES)
    add = calibrate.add_argument
    add("--harmful", required=True, metavar="FILE", help="prompts to refuse")
    add("--benign", required=True, metavar="FILE", help="prompts to let through")
    add("--output", required=True, metavar="FOLDER", help="where the gate is written")
    add(
        "--false-refusals",
        type=float,
        default=0.05,
        metavar="RATE",
        help="the share of benign prompts that may be refused, below 0.5 (default: 0.05)",
    )
    add("--task", default="retrieval", help="which query instruction to use (default: retrieval)")
    add_model_options(calibrate, model=DOCUMENTS_MODEL)


def run(arguments: argparse.Namespace) -> None:
    """Calibrate and write the gate, and print what to expect of it."""
    from llm2vec_gen_rag.safety import RefusalGate
    from llm2vec_gen_rag.safety.linear_score import require_enough, require_rate

    rate = require_rate(arguments.false_refusals)
    harmful, benign = (
        [line for line in read_lines(source) if line.strip()]
        for source in (arguments.harmful, arguments.benign)
    )
    require_enough(len(set(harmful)), len(set(benign)), rate)  # before a model is loaded for it
    model = load_model(arguments)
    gate = RefusalGate.calibrate(
        model,
        harmful=harmful,
        benign=benign,
        false_refusal_rate=rate,
        instruction=model.prompts.for_query(arguments.task),
        show_progress=shows_progress(),
    )
    gate.save(arguments.output)
    if arguments.json:
        print_json(dataclasses.asdict(gate.calibration) | {"threshold": gate.threshold})
    else:
        print(f"{gate.calibration.as_text()}\nwritten to {quoted(arguments.output)}")
