"""`export --to sentence-transformers`: write a model for other libraries."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.options import add_model_options, load_model, new_command
from llm2vec_gen_rag.commands.output import print_json, quoted
from llm2vec_gen_rag.errors import require_extra

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

SUMMARY = """\
Export a model as a folder that another library loads.

sentence-transformers 6 loads it, and with it mteb and the HuggingFace classes of LangChain
and LlamaIndex, with the same vectors. The folder must not exist."""

EXAMPLES = """\
  llm2vec-gen-rag export --to sentence-transformers my-export --model almanac
  llm2vec-gen-rag export --to sentence-transformers my-export --model my-embedder/model"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "export", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder to write")
    parser.add_argument(
        "--to",
        required=True,
        choices=["sentence-transformers"],
        help="the library that is to load it",
    )
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the folder, and say how it is loaded."""
    require_extra("sentence-transformers", "sentence_transformers")
    from llm2vec_gen_rag.sentence_transformers import export

    folder = export(load_model(arguments), arguments.folder)
    if arguments.json:
        print_json({"folder": str(folder), "to": arguments.to})
    else:
        print(f"wrote {quoted(folder)}; load it with")
        print(f"  SentenceTransformer({str(folder)!r}, trust_remote_code=True)")
        print("which imports a class of llm2vec-gen-rag; no code is in the folder.")
