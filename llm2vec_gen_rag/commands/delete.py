"""`delete`: delete documents by their ids or a filter, or a whole collection."""

from __future__ import annotations

import argparse
import sys
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
)
from llm2vec_gen_rag.commands.output import print_json, quoted
from llm2vec_gen_rag.commands.search import add_filter_option, conditions

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.qdrant import DocumentCollection

SUMMARY = """\
Delete documents by their ids or by a filter, or with --drop the whole collection.

Whoever wrote them; a source that still has one adds it again when it is indexed. To remove
all that came from a folder or a file, use `index --remove` instead."""

EXAMPLES = """\
  llm2vec-gen-rag delete 'training.md#4' 'training.md#5'
  llm2vec-gen-rag delete --filter file=deep/trip.md"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "delete", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("ids", nargs="*", metavar="ID", help="delete the documents with these ids")
    add_filter_option(parser, "delete the documents that have this metadata")
    parser.add_argument(
        "--drop",
        action="store_true",
        help="delete the collection with all its documents, after asking",
    )
    parser.add_argument("--yes", action="store_true", help="with --drop, do not ask")
    add_collection_options(parser)
    add_model_options(parser, model=DOCUMENTS_MODEL)


def run(arguments: argparse.Namespace) -> None:
    """Delete, and print how many documents are gone."""
    wanted = conditions(arguments.filter)
    if [bool(arguments.ids), bool(wanted), arguments.drop].count(True) != 1:
        raise ValueError(
            "expected one of ids, --filter KEY=VALUE and --drop, to say what to delete; got none "
            "or several."
        )
    require_store(arguments)
    with opened(arguments, load_model(arguments)) as collection:
        before = collection.count()
        if arguments.drop:
            _drop(collection, arguments, before)
            left = 0
        else:
            collection.delete(arguments.ids)
            collection.delete_where(wanted or {})
            left = collection.count()
    if arguments.json:
        print_json({"deleted": before - left, "documents": left, "dropped": arguments.drop})
        return
    print(f"{before - left} documents deleted")
    kept = "is gone" if arguments.drop else f"holds {left} documents"
    print(f"collection {arguments.collection!r} in {quoted(shown_store(arguments))} {kept}")


def _drop(collection: DocumentCollection, arguments: argparse.Namespace, documents: int) -> None:
    """Drop the collection if that is confirmed."""
    what = f"the collection {arguments.collection!r} with its {documents} documents"
    if not arguments.yes and not _is_confirmed(what):
        raise ValueError(f"{what} was not dropped: that was not confirmed. Add --yes to drop it.")
    collection.drop()


def _is_confirmed(what: str) -> bool:
    """Ask on the terminal; without one, nobody can confirm."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Delete {what}? Type yes to do it: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == "yes"
