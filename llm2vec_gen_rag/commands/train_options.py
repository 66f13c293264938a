"""What the stages of `train` share: their options, their LLM, their report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.options import add_device_options, quieten_loading
from llm2vec_gen_rag.commands.output import print_json, quoted
from llm2vec_gen_rag.errors import require_extra

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from llm2vec_gen_rag.training.config import Recipe
    from llm2vec_gen_rag.training.fit.outputs import FitResult
    from llm2vec_gen_rag.training.run_folder import AnsweredQueries


def add_run_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the folder of the run and its recipe."""
    parser.add_argument(
        "--output",
        required=required,
        type=Path,
        metavar="FOLDER",
        help="the folder of the run, the same for every stage",
    )
    parser.add_argument(
        "--recipe",
        default="almanac",
        metavar="NAME_OR_FILE",
        help="every choice of the run: a bundled recipe, or a .yaml file (default: almanac)",
    )


def add_llm_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add what names and loads the frozen LLM.

    Args:
        parser: of the command.
        default: which LLM is loaded if none is named.
    """
    group = parser.add_argument_group("frozen LLM")
    group.add_argument(
        "--base-model",
        metavar="NAME",
        help=f"a folder, a GGUF file or a hub id (default: {default})",
    )
    add_device_options(group)


def base_model_of(arguments: argparse.Namespace, recipe: Recipe) -> str:
    """Return the name of the frozen LLM in the options, else in the recipe.

    Args:
        arguments: of the command.
        recipe: of the run.

    Returns:
        A folder, a GGUF file or a hub id.

    Raises:
        ValueError: if neither names one.
    """
    base_model: str = arguments.base_model or recipe.base_model
    if not base_model:
        raise ValueError(f"recipe {arguments.recipe} names no LLM; pass one with --base-model")
    return base_model


def answering_model_of(
    arguments: argparse.Namespace, recipe: Recipe, answered: AnsweredQueries
) -> str:
    """Return the name of the frozen LLM of a later stage: by default, what wrote the responses.

    Args:
        arguments: of the command.
        recipe: of the run.
        answered: the responses.

    Returns:
        A folder, a GGUF file or a hub id.
    """
    if arguments.base_model is None and "weights" in answered.origin:
        return str(answered.origin["model"])
    return base_model_of(arguments, recipe)


def require_training_extra() -> None:
    """Raise `MissingExtraError` if the extra "train" is not installed, before any work is done."""
    require_extra("train", "accelerate", "matplotlib", "sklearn")


def refuse_unread(arguments: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    """Raise ValueError if an option is given that would have no effect."""
    for name in names:
        if getattr(arguments, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} {reason}; leave it out")


def require_stage_first(arguments: argparse.Namespace) -> None:
    """Raise ValueError if options precede the stage's name, as those of `train` itself do."""
    if arguments.argv.index(arguments.stage) != arguments.argv.index("train") + 1:
        raise ValueError(
            f"got options between train and {arguments.stage}; expected them after it: "
            f"llm2vec-gen-rag train {arguments.stage} --output FOLDER ..."
        )


def load_llm(
    base_model: str, arguments: argparse.Namespace
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a frozen LLM and its tokenizer.

    A dtype that carries no gradient is refused, because `train fit` needs the LLM that answered.

    Args:
        base_model: a folder, a GGUF file or a hub id.
        arguments: of the command; name the device and the dtype.

    Returns:
        The LLM, on its device, and the tokenizer.
    """
    from llm2vec_gen_rag.backbone.base_tokenizer import load_base_tokenizer
    from llm2vec_gen_rag.backbone.device import pick_device, pick_dtype
    from llm2vec_gen_rag.backbone.int8 import refuse_gradient
    from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone

    quieten_loading()
    device = pick_device(arguments.device)
    dtype = pick_dtype(arguments.dtype, device, None)
    refuse_gradient(dtype)
    backbone = load_backbone(base_model, device, dtype, BackboneOptions())
    return backbone, load_base_tokenizer(base_model)


def report_fit(
    arguments: argparse.Namespace, queries: int, recipe: Recipe, result: FitResult
) -> None:
    """Print the losses of a training run, and how to load the model."""
    if arguments.json:
        print_json(
            {
                "model": str(result.folder),
                "queries": queries,
                "steps": recipe.steps,
                "seconds": result.seconds,
                "reconstruction": result.reconstruction,
                "alignment": result.alignment,
                "trained": not result.found,
            }
        )
    else:
        if result.found:
            print(
                f"{quoted(result.folder)} holds the finished model of this very run: nothing to do"
            )
        print(
            f"{queries} queries, {recipe.steps} steps in {result.seconds:.0f} s: "
            f"reconstruction loss {result.reconstruction:.4f}, alignment loss "
            f"{result.alignment:.6f}\n"
            f"load it with: LLM2VecGen.from_pretrained({str(result.folder)!r})"
        )
