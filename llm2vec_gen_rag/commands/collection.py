"""The options that name a Qdrant collection, and the collection they open."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.errors import CollectionError

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.qdrant import DocumentCollection
    from llm2vec_gen_rag.qdrant.opening.location import Server

STORE = "qdrant-store"
MEMORY = ":memory:"


def add_collection_options(parser: argparse.ArgumentParser, *, store: str | None = STORE) -> None:
    """Add the options that name a collection.

    Args:
        parser: the command's parser.
        store: the default of --store; None if the command works without a collection.
    """
    group = parser.add_argument_group("collection")
    default = f' (default: the folder "{store}")' if store else ""
    group.add_argument(
        "--store",
        default=store,
        metavar="FOLDER_OR_URL",
        help=f"a folder, or the URL of a Qdrant server{default}",
    )
    group.add_argument(
        "--collection",
        default="documents",
        metavar="NAME",
        help="which of the store's collections (default: documents)",
    )
    group.add_argument(
        "--api-key-env",
        default="QDRANT_API_KEY",
        metavar="VARIABLE",
        help="the environment variable that holds the server's key (default: QDRANT_API_KEY)",
    )


def require_store(arguments: argparse.Namespace) -> None:
    """Raise if there is no such store, before a model is loaded for it.

    Args:
        arguments: the options, as parsed.

    Raises:
        MissingExtraError: if Qdrant's client is not installed.
        CollectionError: if there is no such folder, or the store would be lost with the command.
        ValueError: if it is neither a folder nor the URL of a server.
    """
    place = _place(arguments)
    if not isinstance(place, Path):
        return
    from llm2vec_gen_rag.qdrant.opening.local_folder import require_no_file

    require_no_file(place)
    if not place.is_dir():
        raise CollectionError(
            f"there is no folder {arguments.store}; expected one that `llm2vec-gen-rag index` "
            f"wrote. Run: llm2vec-gen-rag index FOLDER --store {arguments.store}"
        )


def shown_store(arguments: argparse.Namespace) -> str:
    """Return the store as it is printed: a URL without user name and password."""
    from llm2vec_gen_rag.qdrant.opening.location import without_credentials

    return without_credentials(arguments.store)


@contextmanager
def opened(
    arguments: argparse.Namespace, model: LLM2VecGen, *, create: bool = False
) -> Iterator[DocumentCollection]:
    """Open the collection that the options name.

    Args:
        arguments: the options, as parsed.
        model: embeds its documents and queries.
        create: create the collection if there is none.

    Yields:
        The collection, closed after the block.

    Raises:
        CollectionError: if there is none and `create` is off, the server refuses, or another model
            wrote it.
    """
    try:
        with _create(arguments, model) if create else _open(arguments, model) as collection:
            yield collection
    except CollectionError as error:
        if _is_refused_key(error):
            raise CollectionError(
                f"{error} Check the key in the environment variable {arguments.api_key_env}."
            ) from error
        raise


def _create(arguments: argparse.Namespace, model: LLM2VecGen) -> DocumentCollection:
    from llm2vec_gen_rag.qdrant import DocumentCollection

    _place(arguments)
    return DocumentCollection.open(
        arguments.store, arguments.collection, model, api_key=api_key(arguments)
    )


def _open(arguments: argparse.Namespace, model: LLM2VecGen) -> DocumentCollection:
    """Open an existing collection; `DocumentCollection.open` would create a misspelt one."""
    from llm2vec_gen_rag.qdrant import DocumentCollection
    from llm2vec_gen_rag.qdrant.opening.connection import connect
    from llm2vec_gen_rag.qdrant.opening.location import require_collection_name
    from llm2vec_gen_rag.qdrant.opening.shared_client import CollectionClient

    name = arguments.collection
    require_collection_name(name)
    client = connect(arguments.store, api_key(arguments))
    try:
        found = CollectionClient(client).get_collections().collections
        names = sorted(collection.name for collection in found)
        if name not in names:
            raise CollectionError(
                f"{shown_store(arguments)} holds no collection {name!r}; it holds "
                f"{', '.join(names) or 'none'}. Name one with --collection, or run "
                "`llm2vec-gen-rag index` first."
            )
        return DocumentCollection(client, name, model)
    except BaseException:
        client.close()
        raise


def _place(arguments: argparse.Namespace) -> Server | Path:
    """Return the store's server, or its folder as an absolute path; raise if it is memory."""
    from llm2vec_gen_rag.qdrant.opening.location import read_location

    place = read_location(arguments.store)
    if place is None:
        raise CollectionError(
            f"{MEMORY} is lost when the command ends; expected a folder or a server's URL. "
            f"Run again with --store {STORE}"
        )
    return place


def api_key(arguments: argparse.Namespace) -> str | None:
    """Return the server's key; a folder has none, whatever the environment holds."""
    is_folder = isinstance(_place(arguments), Path)
    key = None if is_folder else os.environ.get(arguments.api_key_env)
    return key or None  # set but empty, as shell scripts leave it, is no key


def _is_refused_key(error: CollectionError) -> bool:
    from qdrant_client.http.exceptions import UnexpectedResponse

    cause = error.__cause__
    return isinstance(cause, UnexpectedResponse) and cause.status_code in (401, 403)
