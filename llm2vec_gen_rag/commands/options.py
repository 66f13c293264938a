"""Options that several commands share, and what they open."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from llm2vec_gen_rag.arguments import ALMANAC, BUNDLED_MODELS, SMOLLM2

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.parallel.pool import EncoderPool

    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


# the default of the commands that open a collection: of documents of your own
DOCUMENTS_MODEL = SMOLLM2


def new_command(
    subparsers: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    summary: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Add a command whose help ends in examples.

    Args:
        subparsers: those of the program.
        name: the command.
        run: what it does.
        summary: the description; its first line is shown in the list of commands.
        examples: two lines to type.

    Returns:
        The command's parser, with --json.
    """
    parser = subparsers.add_parser(
        name,
        help=summary.split("\n", 1)[0],
        description=summary,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    parser.set_defaults(run=run)
    return parser


def add_model_options(parser: argparse.ArgumentParser, *, model: str = ALMANAC) -> None:
    """Add the options that name and load a model.

    A subparser made with `argument_default=argparse.SUPPRESS` keeps the values of options that
    precede its name.

    Args:
        parser: the command's parser.
        model: the default of --model.
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=parser.argument_default or model,
        metavar="NAME",
        help=f"{' or '.join(BUNDLED_MODELS)} (bundled), a folder in the published format, or a hub "
        f"id (default: {model})",
    )
    group.add_argument(
        "--base-model",
        metavar="NAME",
        help="the frozen LLM, when it is not where the checkpoint says: a folder, a GGUF file "
        "or a hub id",
    )
    group.add_argument("--revision", help="branch, tag or commit of the checkpoint on the hub")
    add_device_options(group)


def add_device_options(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    """Add the options of the LLM's device and dtype."""
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps; by default the best there is")
    group.add_argument(
        "--dtype",
        help="float32, bfloat16, float16, or int8 to embed on a CPU; by default the best of the "
        "device",
    )


def load_model(arguments: argparse.Namespace) -> LLM2VecGen:
    """Load the model that the options name."""
    from llm2vec_gen_rag.model import LLM2VecGen

    quieten_loading()
    return LLM2VecGen.from_pretrained(
        arguments.model,
        base_model=arguments.base_model,
        device=arguments.device,
        dtype=arguments.dtype,
        revision=arguments.revision,
    )


def load_pool(arguments: argparse.Namespace) -> EncoderPool:
    """Load the model that the options name on each of `--devices`.

    Args:
        arguments: the options, as parsed.

    Returns:
        The pool, which the caller closes.

    Raises:
        ValueError: if `--device` is given, too.
    """
    from llm2vec_gen_rag.parallel.pool import EncoderPool

    if arguments.device is not None:
        raise ValueError(
            f"got both --device {arguments.device} and --devices {' '.join(arguments.devices)}; "
            "expected one of them."
        )
    return EncoderPool(
        arguments.model,
        devices=arguments.devices,
        base_model=arguments.base_model,
        dtype=arguments.dtype,
        revision=arguments.revision,
    )


def quieten_loading() -> None:
    """Hide the progress bar of reading weights, which takes a moment; keep those of downloads."""
    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging

    logging.disable_progress_bar()  # and the hub's with it
    if shows_progress():
        enable_progress_bars()


def shows_progress() -> bool:
    """Return whether standard error is a terminal; in a log file, bars are noise."""
    return sys.stderr.isatty()


def positive_int(text: str) -> int:
    """Return the integer of at least 1 in an option; anything else is wrong usage."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return int(text)
