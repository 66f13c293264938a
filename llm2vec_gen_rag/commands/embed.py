"""`embed`: write the vectors of texts, one a line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.lines import read_lines
from llm2vec_gen_rag.commands.options import (
    add_model_options,
    load_model,
    load_pool,
    new_command,
    shows_progress,
)
from llm2vec_gen_rag.commands.output import print_json, quoted

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.encoder import Vectors
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.parallel.pool import EncoderPool

SUMMARY = """\
Embed texts, one a line, as vectors of length 1.

Row i is line i, an empty line too. --output writes one float32 .npy matrix; --json prints
one JSON object {"text", "vector"} a line instead."""

EXAMPLES = """\
  llm2vec-gen-rag embed documents.txt --output documents.npy
  echo "who wrote Hamlet" | llm2vec-gen-rag embed - --side query --json"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "embed", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("source", metavar="FILE", help="UTF-8, one text a line; - reads the input")
    parser.add_argument(
        "--side",
        choices=("query", "document"),
        default="document",
        help="which side of a search the texts are (default: document)",
    )
    parser.add_argument(
        "--task",
        default="retrieval",
        help="which query instruction to use, with --side query (default: retrieval)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.npy", help="where to write the matrix")
    parser.add_argument(
        "--devices",
        nargs="+",
        metavar="DEVICE",
        help="one process on each, instead of --device, such as cuda:0 cuda:1, or cpu cpu",
    )
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Embed, and write or print the vectors."""
    if arguments.json == (arguments.output is not None):
        raise ValueError(
            f"got {'both' if arguments.json else 'neither of'} --output and --json; expected one "
            "of them, to say where the vectors go."
        )
    if arguments.output is not None:
        _require_place(arguments.output)
    texts = read_lines(arguments.source)
    vectors = _embed(texts, arguments)
    shape = f"{vectors.shape[0]} x {vectors.shape[1]} float32"
    if arguments.json:
        for text, vector in zip(texts, vectors.tolist(), strict=True):
            print_json({"text": text, "vector": vector}, indent=None)
        sys.stderr.write(f"{shape}\n")
    else:
        _save(vectors, arguments.output)
        print(f"{shape}, written to {quoted(arguments.output)}")


def _require_place(output: Path) -> None:
    """Raise ValueError if the output cannot be written, before the texts are embedded."""
    if output.suffix != ".npy" or not output.parent.is_dir():
        raise ValueError(
            f"--output is {output}; expected a name that ends in .npy, in a folder that exists."
        )


def _embed(texts: list[str], arguments: argparse.Namespace) -> Vectors:
    """Return the vectors of the texts, (texts, dimension)."""
    if arguments.devices is None:
        return _encode(load_model(arguments), texts, arguments)
    with load_pool(arguments) as pool:
        return _encode(pool, texts, arguments)


def _encode(
    encoder: LLM2VecGen | EncoderPool, texts: list[str], arguments: argparse.Namespace
) -> Vectors:
    if arguments.side == "query":
        return encoder.encode_query(texts, arguments.task, show_progress=shows_progress())
    return encoder.encode_document(texts, show_progress=shows_progress())


def _save(vectors: Vectors, path: Path) -> None:
    import numpy as np

    from llm2vec_gen_rag.files import replacing, storing

    with (
        storing(f"--output {path}", "a file that was there is whole"),
        replacing(path) as partial,
        partial.open("wb") as file,
    ):
        np.save(file, vectors, allow_pickle=False)
