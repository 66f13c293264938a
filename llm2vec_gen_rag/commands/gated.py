"""The options that put a refusal gate before a search, and what is shown of its verdict."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.output import paragraph, strong

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.safety import Verdict


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ask a gate."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--gate",
        action="store_true",
        help="refuse harmful queries, with the gate that ships with the model",
    )
    group.add_argument(
        "--gate-from",
        metavar="FOLDER",
        help="the same with a gate of your own, which `gate calibrate` wrote",
    )


def ask_gate(arguments: argparse.Namespace, model: LLM2VecGen) -> Verdict | None:
    """Return the verdict of the gate that the options name; None without one.

    Args:
        arguments: the options, as parsed.
        model: embeds the query.

    Returns:
        The verdict, with the query's embedding.

    Raises:
        GateError: if there is no such gate, or it is of another model.
        ValueError: if the gate was calibrated with another instruction than the task's.
    """
    if not arguments.gate and arguments.gate_from is None:
        return None
    from llm2vec_gen_rag.safety import RefusalGate

    folder = arguments.gate_from
    gate = RefusalGate.of(model) if folder is None else RefusalGate.load(folder, model)
    if model.prompts.for_query(arguments.task) != gate.instruction:
        raise ValueError(
            f"the gate was calibrated with the instruction {gate.instruction!r:.80}, which is not "
            f"that of the task {arguments.task!r}. Search with the task of the gate, or calibrate "
            f"one: llm2vec-gen-rag gate calibrate --task {arguments.task} ..."
        )
    return gate.check(arguments.query)


def shown_verdict(verdict: Verdict | None) -> dict[str, Any]:
    """Return what JSON says of a verdict; nothing without a gate."""
    if verdict is None:
        return {}
    shown: dict[str, Any] = {
        "refused": verdict.refused, "score": verdict.score, "threshold": verdict.threshold,
    }  # fmt: skip
    if verdict.refused:
        shown["says"] = verdict.says
    return {"gate": shown}


def print_refusal(verdict: Verdict) -> None:
    """Print that a query is refused, by how much, and its embedding in words."""
    print(strong(f"refused: score {verdict.score:.2f}, threshold {verdict.threshold:.2f}"))
    print(paragraph(verdict.says, indent="    ", first="its embedding says: ", lines=3))
