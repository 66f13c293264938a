"""`explain`: print what an embedding says, and why a document is near."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.collection import (
    add_collection_options,
    opened,
    require_store,
    shown_store,
)
from llm2vec_gen_rag.commands.options import (
    DOCUMENTS_MODEL,
    add_model_options,
    load_model,
    new_command,
    positive_int,
)
from llm2vec_gen_rag.commands.output import print_json, width
from llm2vec_gen_rag.errors import CollectionError, require_extra
from llm2vec_gen_rag.files import replacing, storing

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.explain import Explanation
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.qdrant import Hit

SUMMARY = """\
Explain an embedding: what it says, word by word, and why a document is near.

With --document, compares the query with that text; with --store, with the best hit of
that collection; with neither, explains the query alone."""

EXAMPLES = """\
  llm2vec-gen-rag explain "what is the capital of Mongolia" --model almanac
  llm2vec-gen-rag explain "who wrote Hamlet" --document "Shakespeare's plays include Hamlet." """


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "explain", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("query", metavar="QUERY", help="a question, or any text to search by")
    parser.add_argument("--document", metavar="TEXT", help="a text to compare the query with")
    parser.add_argument(
        "--task", default="retrieval", help="which query instruction to use (default: retrieval)"
    )
    parser.add_argument(
        "--nearest",
        type=positive_int,
        default=4,
        metavar="N",
        help="vocabulary tokens to show for each response token (default: 4)",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="also draw it as a PNG: the split of the score, or the words of a query alone",
    )
    add_collection_options(parser, store=None)
    add_model_options(parser, model=DOCUMENTS_MODEL)


def run(arguments: argparse.Namespace) -> None:
    """Print the explanation."""
    from llm2vec_gen_rag.explain import explain

    if arguments.picture is not None:
        require_extra("explain", "matplotlib")
    has_store = arguments.store is not None
    if has_store and arguments.document is not None:
        raise ValueError("got --document and --store; expected one of them. Leave one out.")
    if has_store:
        require_store(arguments)
    model = load_model(arguments)
    document = _best_hit(arguments, model) if has_store else arguments.document
    explanation = explain(
        model, arguments.query, document, task=arguments.task, nearest=arguments.nearest
    )
    if arguments.json:
        print_json(explanation.as_dict())
    else:
        print(explanation.as_text(width()))
    if arguments.picture is not None:
        _draw(explanation, arguments.picture)


def _draw(explanation: Explanation, path: Path) -> None:
    """Write the picture."""
    kept = "a picture that was there is whole"
    with storing(f"the picture {path}", kept), replacing(path) as partial:
        explanation.plot().savefig(partial, format="png", dpi=120)


def _best_hit(arguments: argparse.Namespace, model: LLM2VecGen) -> Hit:
    """Return the document nearest to the query."""
    with opened(arguments, model) as collection:
        hits = collection.search(arguments.query, 1, task=arguments.task)
    if not hits:
        raise CollectionError(
            f"collection {arguments.collection!r} in {shown_store(arguments)} is empty; expected a "
            "document to compare with. Index some first, or pass --document."
        )
    return hits[0]
