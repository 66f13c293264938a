"""`index`: write a folder of texts into a collection, or bring the collection up to date."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    shows_progress,
)
from llm2vec_gen_rag.commands.output import print_json, printable, quoted

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.qdrant.reading.folders import FolderReport
    from llm2vec_gen_rag.qdrant.reading.found_files import FoundFiles
    from llm2vec_gen_rag.qdrant.reading.text_files import LeftOut

SUMMARY = """\
Index a folder or a file, or bring its index up to date.

Reads .txt, .md and .rst (cut into passages at blank lines and headings), .pdf, .html and
.docx (pip install 'llm2vec-gen-rag[files]'), .csv (by rows), and .jsonl ({"text", "id"?,
"metadata"?}, BEIR's _id, title and text, or what `dump` wrote). Run it again after files
changed: only what is new or changed is embedded, and what is gone is removed.

What a folder holds that cannot be read (files and lines) is left out, named and counted, what
it gave before is kept, and the exit code is 0. A file that you name must be readable as a whole.
Hidden files and folders, and links without --follow-links, are passed over: name one to index
it. What it gave stays when the folder around it is indexed again, until the file is gone.
If a folder has no documents any more, nothing is removed without --allow-empty; --remove
removes what came from a path that is gone.

The metadata "file" is a file's path in the folder: search --filter file=deep/trip.md. A PDF's
passages have their "page", those of .html, .docx and .rst their "heading", of .csv the "row"."""

EXAMPLES = """\
  llm2vec-gen-rag index notes/
  llm2vec-gen-rag index corpus.jsonl --store http://localhost:6333 --collection corpus"""

_MOST_NAMED = 20  # lines on the terminal; --json has all


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "index", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("path", metavar="FOLDER_OR_FILE", help="what to read")
    parser.add_argument(
        "--passage-characters",
        type=positive_int,
        default=1000,
        metavar="N",
        help="the longest passage of a file of text (default: 1000)",
    )
    parser.add_argument(
        "--follow-links",
        action="store_true",
        help="follow links to folders, and to files outside FOLDER_OR_FILE",
    )
    parser.add_argument(
        "--allow-empty",
        action="store_true",
        help="remove all documents of a folder or file that has none any more",
    )
    parser.add_argument(
        "--remove",
        action="store_true",
        help="remove what the collection holds from FOLDER_OR_FILE, which may be gone; documents "
        "that another source holds stay",
    )
    add_collection_options(parser)
    add_model_options(parser, model=DOCUMENTS_MODEL)


def run(arguments: argparse.Namespace) -> None:
    """Index or remove, and print what changed."""
    if arguments.remove:
        _remove(arguments)
    else:
        _index(arguments)


def _index(arguments: argparse.Namespace) -> None:
    from llm2vec_gen_rag.qdrant.reading.folders import sync_path
    from llm2vec_gen_rag.qdrant.reading.found_files import find_files

    path = Path(arguments.path)
    found = find_files(path, follow_links=arguments.follow_links)
    with opened(arguments, load_model(arguments), create=True) as collection:
        done = sync_path(
            collection,
            path,
            found,
            passage_characters=arguments.passage_characters,
            allow_empty=arguments.allow_empty,
            show_progress=shows_progress(),
        )
        documents = collection.count()
    _name_left_out(done, found)
    _require_something(path, done, found)
    if arguments.json:
        print_json(_as_json(arguments, done, found, documents))
    else:
        _print(arguments, done, found, documents)


def _remove(arguments: argparse.Namespace) -> None:
    from llm2vec_gen_rag.qdrant.reading.folders import remove_path

    require_store(arguments)
    with opened(arguments, load_model(arguments)) as collection:
        report = remove_path(collection, arguments.path)
        documents = collection.count()
    if arguments.json:
        print_json(
            {
                "store": shown_store(arguments),
                "collection": arguments.collection,
                "documents": documents,
                **dataclasses.asdict(report),
            }
        )
    else:
        print(f"{report.removed} documents removed")
        _print_total(arguments, documents)


def _require_something(path: Path, done: FolderReport, found: FoundFiles) -> None:
    """Raise ValueError if a path has no documents and had none before."""
    report = done.documents
    if not (report.added or report.replaced or report.unchanged or report.removed or done.kept):
        raise ValueError(
            f"{path} holds no document ({len(found.unreadable)} files without readable text, "
            f"{found.others} of other kinds); expected .txt, .md, .pdf and the like with text in "
            "them, as `llm2vec-gen-rag index --help` lists."
        )


def _name_left_out(done: FolderReport, found: FoundFiles) -> None:
    """Say on standard error what is left out, and why."""
    messages = [
        left.reason if left.line else f"as {left.reason}: {quoted(left.path)}"
        for left in done.left_out
    ]
    messages += [f"as {reason}: {quoted(path)}" for path, reason in found.links.items()]
    for message in messages[:_MOST_NAMED]:
        sys.stderr.write(f"left out, {printable(message)}\n")
    if len(messages) > _MOST_NAMED:
        sys.stderr.write(f"left out: {len(messages) - _MOST_NAMED} more, which --json names\n")
    if done.kept:
        sys.stderr.write(
            f"kept: {done.kept} documents of hidden files or behind links, which were not looked "
            "at: name them to bring them up to date, or name them with --remove\n"
        )
    for source in done.moved_from:
        sys.stderr.write(
            f"some of these documents are also held by {quoted(source)}, which is not there: if "
            "it is gone for good, run `index` with that path and --remove\n"
        )


def _as_json(
    arguments: argparse.Namespace, done: FolderReport, found: FoundFiles, documents: int
) -> dict[str, Any]:
    whole, lines = _files_and_lines(done)
    return {
        "store": shown_store(arguments),
        "collection": arguments.collection,
        "documents": documents,
        **dataclasses.asdict(done.documents),
        "kept": done.kept,
        "files": len(found.files),
        "unreadable_files": [str(left.path) for left in whole],
        "unreadable_lines": len(lines),
        "links": [str(path) for path in found.links],
        "other_files": found.others,
        "left_out": [
            {**dataclasses.asdict(left), "path": str(left.path)} for left in done.left_out
        ],
    }


def _print(
    arguments: argparse.Namespace, done: FolderReport, found: FoundFiles, documents: int
) -> None:
    """Print what changed, for a person."""
    report = done.documents
    whole, lines = _files_and_lines(done)
    print(
        f"{len(found.files)} files: {report.added} documents added, {report.replaced} replaced, "
        f"{report.unchanged} unchanged, {report.removed} removed"
    )
    if whole or lines or found.links or found.others:
        print(
            f"left out: {len(whole)} without readable text, {found.others} of other kinds, "
            f"{len(lines)} lines, {len(found.links)} links"
        )
    if report.truncated:
        named = ", ".join(map(quoted, report.truncated_ids[:_MOST_NAMED]))
        more = ", ..." * (report.truncated > _MOST_NAMED)
        print(
            f"{report.truncated} are longer than the model reads, which saw their beginning only: "
            f"{named}{more}"
        )
    _print_total(arguments, documents)


def _print_total(arguments: argparse.Namespace, documents: int) -> None:
    store = quoted(shown_store(arguments))
    print(f"collection {arguments.collection!r} in {store} holds {documents} documents")


def _files_and_lines(done: FolderReport) -> tuple[list[LeftOut], list[LeftOut]]:
    """Return the files that are left out as a whole, and the lines of others."""
    whole = [left for left in done.left_out if left.line is None]
    return whole, [left for left in done.left_out if left.line is not None]
