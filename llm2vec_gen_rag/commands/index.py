"""`index`: write a folder of texts into a collection, or bring the collection up to date."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.collection import add_collection_options, opened, shown_store
from llm2vec_gen_rag.commands.options import (
    add_model_options,
    load_model,
    new_command,
    positive_int,
    shows_progress,
)
from llm2vec_gen_rag.commands.output import print_json

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.qdrant import IndexReport
    from llm2vec_gen_rag.qdrant.text_files import FoundFiles

SUMMARY = """\
Index a folder or a file, or bring its index up to date.

Reads .txt and .md (cut into passages at blank lines and headings) and .jsonl
({"text", "id"?, "metadata"?}, or BEIR's _id, title and text). Run it again after files
changed: only what is new or changed is embedded, and what is gone is removed. In a folder,
texts that are not UTF-8 and .jsonl files of something else than documents are left out and
reported. Ids of .jsonl must be unique in their collection."""

EXAMPLES = """\
  llm2vec-gen-rag index notes/
  llm2vec-gen-rag index corpus.jsonl --store http://localhost:6333 --collection corpus"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "index", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("path", type=Path, metavar="FOLDER_OR_FILE", help="what to read")
    parser.add_argument(
        "--passage-characters",
        type=positive_int,
        default=1000,
        metavar="N",
        help="the longest passage of a .txt or .md file (default: 1000)",
    )
    add_collection_options(parser)
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Index, and print what changed."""
    from llm2vec_gen_rag.qdrant.text_files import find_files, full_path, read_documents

    found = find_files(arguments.path)
    for path, reason in found.unreadable.items():
        sys.stderr.write(f"left out, as {reason}: {path}\n")
    with opened(arguments, load_model(arguments), create=True) as collection:
        report = collection.sync(
            read_documents(found.files, arguments.passage_characters),
            source=full_path(arguments.path),
            show_progress=shows_progress(),
        )
        _require_something(arguments.path, report, found)
        documents = collection.count()
    if arguments.json:
        print_json(
            {
                "store": shown_store(arguments),
                "collection": arguments.collection,
                "documents": documents,
                **dataclasses.asdict(report),
                "files": len(found.files),
                "unreadable_files": [str(path) for path in found.unreadable],
                "other_files": found.others,
            }
        )
    else:
        _print(arguments, found, report, documents)


def _require_something(path: Path, report: IndexReport, found: FoundFiles) -> None:
    """Raise ValueError if a path has no documents and had none before."""
    if not (report.added or report.replaced or report.unchanged or report.removed):
        raise ValueError(
            f"{path} holds no document ({len(found.unreadable)} files without readable text, "
            f"{found.others} of other kinds); expected .txt, .md or .jsonl with text in them."
        )


def _print(
    arguments: argparse.Namespace, found: FoundFiles, report: IndexReport, documents: int
) -> None:
    """Print what changed, for a person."""
    print(
        f"{len(found.files)} files: {report.added} documents added, {report.replaced} replaced, "
        f"{report.unchanged} unchanged, {report.removed} removed"
    )
    if found.unreadable or found.others:
        print(
            f"left out: {len(found.unreadable)} without readable text, "
            f"{found.others} of other kinds"
        )
    if report.truncated:
        print(f"{report.truncated} are longer than the model reads, which saw their beginning only")
    store = shown_store(arguments)
    print(f"collection {arguments.collection!r} in {store} holds {documents} documents")
