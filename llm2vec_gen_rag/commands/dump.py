"""`dump`: write a collection to a JSON Lines file, which `index` reads back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.collection import add_collection_options, opened, require_store
from llm2vec_gen_rag.commands.options import (
    DOCUMENTS_MODEL,
    add_model_options,
    load_model,
    new_command,
)
from llm2vec_gen_rag.commands.output import print_json, quoted
from llm2vec_gen_rag.commands.search import add_filter_option, conditions

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

SUMMARY = """\
Write the documents of a collection to a JSON Lines file.

One object a line: {"id", "text", "metadata", "_llm2vec_gen": {"sources", "vector"}}, the text
as it was indexed. `index FILE.jsonl` reads it back: the same documents, with the same sources."""

EXAMPLES = """\
  llm2vec-gen-rag dump --output documents.jsonl
  llm2vec-gen-rag dump --output english.jsonl --filter lang=en --vectors"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "dump", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "--output",
        required=True,
        metavar="FILE.jsonl",
        help="where to write; a file there is replaced, whole or not at all",
    )
    parser.add_argument(
        "--vectors", action="store_true", help="write the vectors, too, for other programs"
    )
    add_filter_option(parser, "metadata that documents must have")
    add_collection_options(parser)
    add_model_options(parser, model=DOCUMENTS_MODEL)


def run(arguments: argparse.Namespace) -> None:
    """Write the file, and print how many documents are in it."""
    require_store(arguments)
    from llm2vec_gen_rag.qdrant.contents.export import require_json_lines

    output = require_json_lines(arguments.output)
    wanted = conditions(arguments.filter)
    with opened(arguments, load_model(arguments)) as collection:
        written = collection.export(output, filter=wanted, vectors=arguments.vectors)
    if arguments.json:
        print_json({"documents": written, "output": str(output)})
    else:
        print(f"{written} documents, written to {quoted(output)}")
