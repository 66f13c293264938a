"""`adopt`: embed a collection of another writer anew, beside its own vectors, and compare both."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.collection import (
    add_collection_options,
    api_key,
    require_store,
    shown_store,
)
from llm2vec_gen_rag.commands.lines import read_lines
from llm2vec_gen_rag.commands.options import (
    DOCUMENTS_MODEL,
    add_model_options,
    load_model,
    new_command,
    positive_int,
    shows_progress,
)
from llm2vec_gen_rag.commands.output import print_json, quoted, width

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.qdrant.adopting.comparison import Comparison
    from llm2vec_gen_rag.qdrant.adopting.embedding import AdoptionReport

SUMMARY = """\
Embed the texts of a collection that LangChain or LlamaIndex wrote, beside its own vectors.

Payloads and old vectors stay as they are. Interrupted, run it again: it embeds what lacks a
vector. With --queries it then searches by both vectors, and prints both rankings side by side.

The old vectors of the queries come from --old-model, a sentence-transformers model, or from
the queries' file: {"query": "...", "vector": [...]} a line, as another embedder made them."""

EXAMPLES = """\
  llm2vec-gen-rag adopt --store http://localhost:6333 --collection kb
  llm2vec-gen-rag adopt --collection kb --queries queries.txt --old-model all-MiniLM-L6-v2"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "adopt", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "--text-key",
        metavar="NAME",
        help="the name in the payload that holds the text, if the store was told another one",
    )
    parser.add_argument(
        "--vector", default="llm2vec-gen", metavar="NAME", help="the new vector's name"
    )
    parser.add_argument(
        "--queries", metavar="FILE", help="compare both searches on these: .jsonl, or one a line"
    )
    parser.add_argument(
        "--old-model",
        metavar="NAME",
        help="the sentence-transformers model that wrote the old vectors: a folder or a hub id",
    )
    parser.add_argument(
        "--old-vector", metavar="NAME", help="the old vector, if the collection has several"
    )
    parser.add_argument(
        "-k", type=positive_int, default=5, metavar="N", help="hits to compare (default: 5)"
    )
    add_collection_options(parser)
    add_model_options(parser, model=DOCUMENTS_MODEL)


def run(arguments: argparse.Namespace) -> None:
    """Embed what lacks a vector, and print both rankings."""
    require_store(arguments)
    queries, embed_query = _queries(arguments)
    from llm2vec_gen_rag.qdrant import AdoptedCollection

    with AdoptedCollection.open(
        arguments.store,
        arguments.collection,
        load_model(arguments),
        vector=arguments.vector,
        text_key=arguments.text_key,
        api_key=api_key(arguments),
    ) as adopted:
        report = adopted.embed(show_progress=shows_progress())
        old = arguments.old_vector
        compared = adopted.compare(queries, embed_query, arguments.k, old_vector_name=old)
    if arguments.json:
        rankings = [dataclasses.asdict(each) | {"shared": each.shared} for each in compared]
        print_json({**dataclasses.asdict(report), "comparisons": rankings})
    else:
        _print(arguments, report, compared)


def _queries(
    arguments: argparse.Namespace,
) -> tuple[list[str], Callable[[str], Sequence[float]]]:
    """Return the queries, and what embeds one as the other program does."""
    if arguments.queries is None:
        if arguments.old_model is not None:
            raise ValueError("--old-model is for --queries FILE; expected both, or neither.")
        return [], lambda _: []
    if Path(arguments.queries).suffix.lower() == ".jsonl":
        vectors = _with_vectors(Path(arguments.queries))
        if arguments.old_model is None:
            return list(vectors), vectors.__getitem__
        raise ValueError("the queries of a .jsonl file have vectors; leave --old-model out.")
    if arguments.old_model is None:
        raise ValueError(
            f"nothing says how to embed the queries of {arguments.queries} for the old vectors; "
            "expected --old-model NAME, or a .jsonl file of queries with their vectors."
        )
    from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher

    old = SentenceTransformersTeacher(arguments.old_model, device=arguments.device)
    listed = [query for query in read_lines(arguments.queries) if query.strip()]
    return listed, lambda query: old.embed([query])[0].tolist()


def _with_vectors(path: Path) -> dict[str, list[float]]:
    from llm2vec_gen_rag.files import read_json_lines

    if not path.is_file():
        raise ValueError(f"there is no file {path}; expected queries with vectors. Check the path.")
    vectors: dict[str, list[float]] = {}
    for place, row in read_json_lines(path, "query"):
        vectors[row["query"]] = _vector(place, row.get("vector"))
    return vectors


def _vector(place: str, given: Any) -> list[float]:
    if not isinstance(given, list) or not all(isinstance(value, int | float) for value in given):
        raise ValueError(f'{place} has {given!r:.80} for "vector"; expected a list of numbers.')
    return given


def _print(
    arguments: argparse.Namespace, report: AdoptionReport, compared: list[Comparison]
) -> None:
    print(
        f"{report.embedded} points embedded, {report.unchanged} had a vector "
        f"{arguments.vector!r}, {report.without_text} have no text"
    )
    if report.truncated:
        print(f"{report.truncated} are longer than the model reads, which saw their beginning only")
    if report.without_text and not (report.embedded or report.unchanged):
        print("name the text's place in the payload with --text-key")
    for each in compared:
        print(f"\n{each.table(width())}")
    if compared:
        shared = sum(each.shared for each in compared) / len(compared)
        print(f"\n{shared:.1f} of {arguments.k} hits are in both rankings, on average")
    print(f"collection {arguments.collection!r} in {quoted(shown_store(arguments))}")
