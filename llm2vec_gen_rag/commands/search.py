"""`search`: print the documents nearest to what would answer a query."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.collection import add_collection_options, opened, require_store
from llm2vec_gen_rag.commands.gated import add_gate_options, ask_gate, print_refusal, shown_verdict
from llm2vec_gen_rag.commands.options import (
    DOCUMENTS_MODEL,
    add_model_options,
    load_model,
    new_command,
    positive_int,
)
from llm2vec_gen_rag.commands.output import paragraph, print_json, quoted, strong

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.qdrant import Hit

SUMMARY = """\
Search a collection by what would answer the query.

The model must be the one that wrote the collection; any other is refused."""

EXAMPLES = """\
  llm2vec-gen-rag search "what do I owe the plumber" -k 3
  llm2vec-gen-rag search "error E1107" --hybrid --filter lang=en --filter year=2024"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "search", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("query", metavar="QUERY", help="a question, or any text to search by")
    parser.add_argument(
        "-k", type=positive_int, default=5, metavar="N", help="the most hits (default: 5)"
    )
    parser.add_argument(
        "--task", default="retrieval", help="which query instruction to use (default: retrieval)"
    )
    parser.add_argument(
        "--hybrid",
        action="store_true",
        help="rank by the words too (BM25): for names, codes and numbers",
    )
    parser.add_argument(
        "--weight",
        type=float,
        default=None,
        metavar="W",
        help="of the embedding in --hybrid, from 0 (the words alone) to 1 (default: 0.45); "
        "`eval beir --tune-hybrid` finds it",
    )
    add_filter_option(parser, "metadata that hits must have")
    add_gate_options(parser)
    add_collection_options(parser)
    add_model_options(parser, model=DOCUMENTS_MODEL)


def add_filter_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --filter.

    Args:
        parser: the command's parser.
        what: what it is about, for the help.
    """
    parser.add_argument(
        "--filter",
        type=condition,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"{what}; may be repeated. A number, true, false and null are "
        'read as such, KEY=\'"7"\' is the string 7, and KEY=\'["a", "b"]\' is either',
    )


def condition(text: str) -> tuple[str, Any]:
    """Return the key and the value of KEY=VALUE; anything else is wrong usage."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return key, value
    is_number = isinstance(parsed, float) and math.isfinite(parsed)  # JSON has no "nan", no "inf"
    plain = parsed is None or is_number or isinstance(parsed, str | int | list)
    return key, parsed if plain else value


def conditions(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """Return the filter of all the pairs; a key that is given twice is wrong usage."""
    filters = dict(pairs)
    for key in filters:
        given = [value for name, value in pairs if name == key]
        if len(given) > 1:
            raise ValueError(
                f"--filter names {key!r} {len(given)} times; expected each key once. For any of "
                f"several values write --filter '{key}={json.dumps(given)}'."
            )
    return filters or None


def checked_weight(weight: float, is_hybrid: bool) -> float:
    """Return the weight of --hybrid, before a model is loaded; any other is wrong usage."""
    from llm2vec_gen_rag.qdrant.hybrid.fusion import require_weight

    if not is_hybrid:
        raise ValueError(
            f"--weight {weight:g} came without --hybrid; expected both. Add --hybrid, or leave "
            "--weight out."
        )
    require_weight(weight)
    return weight


def run(arguments: argparse.Namespace) -> None:
    """Search, and print the hits; print why there are none if the gate refuses the query."""
    if not arguments.query.strip():
        raise ValueError(
            f"the query is {arguments.query!r}; expected a question or another text. Is it a "
            "variable of the shell that is not set?"
        )
    require_store(arguments)
    options: dict[str, Any] = {"filter": conditions(arguments.filter), "task": arguments.task}
    if arguments.weight is not None:
        options["weight"] = checked_weight(arguments.weight, arguments.hybrid)
    hits: list[Hit] = []
    with opened(arguments, load_model(arguments)) as collection:
        verdict = ask_gate(arguments, collection.model)
        if verdict is None or not verdict.refused:
            search: Callable[..., list[Hit]] = collection.search
            if arguments.hybrid:
                search = collection.hybrid_search
            hits = search(
                arguments.query, arguments.k, vector=verdict and verdict.vector, **options
            )
    if arguments.json:
        found = {"query": arguments.query, "hits": [dataclasses.asdict(hit) for hit in hits]}
        print_json(found | shown_verdict(verdict))
    elif verdict is not None and verdict.refused:
        print_refusal(verdict)
    else:
        _print(hits)


def _print(hits: list[Hit]) -> None:
    """Print each hit's score, id and first lines."""
    for rank, hit in enumerate(hits, start=1):
        print(strong(f"{rank:>2}  {hit.score:.3f}  {quoted(hit.id)}"))
        print(paragraph(hit.text, indent="    ", lines=3))
    if not hits:
        print("no hits: the collection is empty, or nothing in it passes the filter")
