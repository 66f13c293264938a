"""`list`: print what a collection holds."""

from __future__ import annotations

import argparse
import dataclasses
from itertools import islice
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.collection import add_collection_options, opened, require_store
from llm2vec_gen_rag.commands.options import (
    DOCUMENTS_MODEL,
    add_model_options,
    load_model,
    new_command,
    positive_int,
)
from llm2vec_gen_rag.commands.output import (
    paragraph,
    print_json,
    printable,
    printable_lines,
    quoted,
    strong,
)
from llm2vec_gen_rag.commands.search import add_filter_option, conditions

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.qdrant import DocumentCollection, StoredDocument

SUMMARY = """\
List the documents of a collection, or show those with the given ids whole.

Each with its id, its sources and its first lines. `dump` writes all of them to a file."""

EXAMPLES = """\
  llm2vec-gen-rag list --filter lang=en --limit 100
  llm2vec-gen-rag list 'training.md#4' --json"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "list", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("ids", nargs="*", metavar="ID", help="show these documents, and no others")
    parser.add_argument(
        "--limit", type=positive_int, default=20, metavar="N", help="list at most N (default: 20)"
    )
    add_filter_option(parser, "metadata that documents must have")
    add_collection_options(parser)
    add_model_options(parser, model=DOCUMENTS_MODEL)


def run(arguments: argparse.Namespace) -> None:
    """Print the documents."""
    require_store(arguments)
    wanted = conditions(arguments.filter)
    if arguments.ids and wanted:
        raise ValueError("got ids and --filter; expected one of them. Leave the other out.")
    with opened(arguments, load_model(arguments)) as collection:
        documents = _documents(collection, arguments)
        count = collection.count()
    if arguments.json:
        print_json({"total": count, "documents": [dataclasses.asdict(each) for each in documents]})
        return
    for document in documents:
        _print(document, whole=bool(arguments.ids))
    print(f"{len(documents)} of the {count} documents in the collection")


def _documents(
    collection: DocumentCollection, arguments: argparse.Namespace
) -> list[StoredDocument]:
    if not arguments.ids:
        listed = collection.list(filter=conditions(arguments.filter))
        return [*islice(listed, arguments.limit)]
    documents = collection.get(arguments.ids)
    missing = set(arguments.ids) - {document.id for document in documents}
    if missing:
        raise ValueError(
            f"the collection holds no document {sorted(missing)[0]!r}; expected ids as `list` and "
            "`search` print them. Check the id."
        )
    return documents


def _print(document: StoredDocument, *, whole: bool) -> None:
    sources = ", ".join(map(quoted, document.sources)) or "a framework's store"
    print(f"{strong(quoted(document.id))}  from {sources}")
    if whole:
        print(f"    metadata: {printable(str(document.metadata))}")
        print(printable_lines(document.text))
    else:
        print(paragraph(document.text, indent="    ", lines=2))
