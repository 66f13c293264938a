"""A folder or a file as the source of documents: bring its part of a collection up to date.

A source is a folder that was indexed, and a document's holder is a file of it. A file or a folder
below a source is a part of that source, so that it may be indexed on its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.collection import DocumentCollection
from llm2vec_gen_rag.qdrant.documents import Document, IndexReport
from llm2vec_gen_rag.qdrant.points.stamps import WHOLE, Holder, is_within
from llm2vec_gen_rag.qdrant.reading.exported import ExportedDocument
from llm2vec_gen_rag.qdrant.reading.found_files import FoundFiles
from llm2vec_gen_rag.qdrant.reading.passed_over import PassedOver, with_folders
from llm2vec_gen_rag.qdrant.reading.text_files import (
    LeftOut,
    Report,
    full_path,
    read_documents,
    relative_name,
)
from llm2vec_gen_rag.qdrant.writing.indexing import index_all
from llm2vec_gen_rag.qdrant.writing.pruning import held_by, prune, source_names

_BATCH = 128  # documents


@dataclass(frozen=True)
class FolderReport:
    """What indexing a folder or a file did.

    Attributes:
        documents: what was done, in documents.
        left_out: the files and lines that were not indexed, but not what they gave before.
        moved_from: sources that hold some of the same documents and are no longer there.
        kept: the documents of hidden files and files behind links, which were not looked at.
    """

    documents: IndexReport
    left_out: tuple[LeftOut, ...]
    moved_from: tuple[str, ...]
    kept: int


def sync_path(
    collection: DocumentCollection,
    path: Path,
    found: FoundFiles,
    *,
    passage_characters: int,
    allow_empty: bool,
    show_progress: bool,
) -> FolderReport:
    """Index what was found under a path, and let go of what is no longer there.

    What cannot be read is left out, and what it gave before is kept. So is what is passed over
    because its name begins with a dot or a link is not followed, while it is there: it was named
    itself, or followed, before. A file that was named itself has to be readable as a whole.

    Args:
        collection: where to.
        path: a folder or a file.
        found: what `find_files` found there.
        passage_characters: the longest passage of a text.
        allow_empty: whether all the documents of the path may go.
        show_progress: show a progress bar.

    Returns:
        What was done.

    Raises:
        ValueError: if a line of the file that was named is not a document.
        CollectionError: if there is no document, and must be; nothing is removed.
    """
    where = full_path(path)
    names = source_names(collection._client, collection.name)
    source = _enclosing_source(collection, where, names) or where
    left_out = [LeftOut(file, reason) for file, reason in found.unreadable.items()]
    leave_out = None if path.is_file() else left_out.append
    given = _documents(path, source, found, passage_characters, leave_out)
    seen: dict[Holder, set[str]] = {}
    client, name, model = collection._client, collection.name, collection.model
    with tqdm(desc="Indexing", unit="doc", disable=not show_progress) as bar:
        report = index_all(client, name, model, given, _BATCH, bar.update, seen)
    unread = {full_path(left.path) for left in left_out}
    passed_over = PassedOver(where, {full_path(link) for link in found.links})

    def lets_go(point: str, holder: Holder) -> bool:
        if not holder.is_within(where) or point in seen.get(holder, ()):
            return False
        is_read = unread.isdisjoint(with_folders(holder.path))
        return is_read and not passed_over.keeps(holder.path, point)

    sources = [source, *(other for other in names if other != source and is_within(other, where))]
    may_empty = allow_empty or bool(seen)
    report += prune(client, name, sources, lets_go, may_empty=may_empty, what=where)
    moved_from = _moved_from(collection, source, names)
    return FolderReport(report, tuple(left_out), moved_from, len(passed_over.points))


def remove_path(collection: DocumentCollection, path: str) -> IndexReport:
    """Let go of all that a source, or a file or a folder of one, gave; it may be gone.

    Args:
        collection: where from.
        path: a path, or the name of a source that was given in Python.

    Returns:
        How many documents were removed; what other sources hold stays.

    Raises:
        CollectionError: if the collection holds nothing from there.
    """
    where = full_path(Path(path))
    names = source_names(collection._client, collection.name)
    sources = [n for n in names if n == path or is_within(n, where) or is_within(where, n)]

    def lets_go(_: str, holder: Holder) -> bool:
        return holder.source == path or holder.is_within(where)

    held = held_by(collection._client, collection.name, sources)
    if not any(lets_go(point, holder) for point, stamp in held for holder in stamp.holders):
        known = ", ".join(sorted(names)) or "none"
        raise CollectionError(
            f"collection {collection.name!r} holds nothing from {path}; expected one of its "
            f"sources ({known}) or what is below it. Check the path."
        )
    return prune(collection._client, collection.name, sources, lets_go)


def _documents(
    path: Path, source: str, found: FoundFiles, passage_characters: int, leave_out: Report | None
) -> Iterator[tuple[Document, Holder]]:
    """Yield the documents of the files, each with the file that holds it, or an export's own."""
    is_file = path.is_file() and full_path(path) == source
    root = Path(source).parent if is_file else Path(source)
    for file, document in read_documents(found.files, root, passage_characters, leave_out):
        own = Holder(source, WHOLE if is_file else relative_name(file, root))
        noted = document.holders if isinstance(document, ExportedDocument) else ()
        yield from ((document, holder) for holder in noted or [own])


def _enclosing_source(collection: DocumentCollection, where: str, names: list[str]) -> str | None:
    """Return the outermost folder around a path that was indexed."""
    for name in sorted(names, key=len):
        if name != where and is_within(where, name):
            held = held_by(collection._client, collection.name, [name])
            if any(h.file and h.source == name for _, stamp in held for h in stamp.holders):
                return name
    return None


def _moved_from(collection: DocumentCollection, source: str, names: list[str]) -> tuple[str, ...]:
    """Return the sources that are not there, and hold documents of this one."""
    gone = {n for n in names if n != source and os.path.isabs(n) and not os.path.exists(n)}
    if not gone:
        return ()
    held = held_by(collection._client, collection.name, [source])
    return tuple(sorted({h.source for _, stamp in held for h in stamp.holders} & gone))
