"""Measure a model on real texts, beside what a user would pick instead, and write the page.

    python -m benchmarks.real_texts --model NAME --teacher FOLDER --data FOLDER
        --rows FILE --ordinary FILE --third-encoder FOLDER [--output docs/evidence/real_texts.json]
    python -m benchmarks.real_texts --model NAME --data FOLDER --accuracy
    python -m benchmarks.real_texts --model NAME --data FOLDER --recipe LABEL=CHECKPOINT ...
    python -m benchmarks.real_texts --model NAME --data FOLDER --variants FOLDER
    python -m benchmarks.real_texts --only-page

The folder of data holds sets in the BEIR layout, and jailbreakbench and xstest as `eval refusals`
reads them. The rows are those of every round (`python -m llm2vec_gen_rag.training.smollm2.rows
--every-round`): with those of the first alone, questions of the others would pass as held out. The
third encoder is fetched by `python -m benchmarks.real_texts.third_encoder`, and the variants are
trained by `python -m benchmarks.real_texts.variants`.

Vectors and answers are kept in the folder of work, so a run that was stopped resumes; each part is
written to the output when it ends. All of the LLM's ways read `--max-length` tokens of a text. At
the default sizes the LLM reads twice 290,000 tokens, in half an hour on two cores, and answers take
some ten minutes more.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.provenance import file_digest, record_now
from benchmarks.real_texts.accuracy import EXACT, measure_accuracy
from benchmarks.real_texts.decoded import COMPARED, measure_decoded
from benchmarks.real_texts.kept_vectors import KeptVectors
from benchmarks.real_texts.latency import measure_latency
from benchmarks.real_texts.options import parse
from benchmarks.real_texts.overlap import measure_overlap
from benchmarks.real_texts.page import write_page
from benchmarks.real_texts.readers import Readers, indexed_tokens
from benchmarks.real_texts.recipes import measure_recipes
from benchmarks.real_texts.results_file import keep, read_figures
from benchmarks.real_texts.retrieval import measure_retrieval, measure_unseen, measure_written
from benchmarks.real_texts.retrieval_sets import (
    CUTS,
    Cut,
    RetrievalSet,
    cut_set,
    read_set,
    unseen_set,
)
from benchmarks.real_texts.safety import held_out_questions, measure_safety, training_prompts
from benchmarks.real_texts.third_encoder import load_third_encoder
from benchmarks.real_texts.variants import VARIANTS
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.arguments import SMOLLM2
from llm2vec_gen_rag.evaluation.refusals import PromptSet
from llm2vec_gen_rag.smollm2 import find_llm
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.training.run_folder import MODEL_FOLDER

logger = logging.getLogger(__name__)
PROMPT_SETS = ("jailbreakbench", "xstest")
ACCURACY_SETS = ("scifact", "xquad")
OTHERS = 400  # texts beside a set's own on which the whitening is fitted


def main() -> None:
    """Measure what is asked for, and write the page."""
    arguments = parse(__doc__)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.recipe:
        measure_checkpoints(arguments)
    elif arguments.variants:
        measure_variants(arguments)
    elif arguments.accuracy:
        measure_dtypes(arguments)
    elif not arguments.only_page:
        measure(arguments)
    if "made" in read_figures(arguments.output):
        write_page(arguments.output, arguments.page)
    else:
        logger.info("no page is written before retrieval was measured, without --accuracy")


def measure(arguments: argparse.Namespace) -> None:
    """Write the parts to the output, each when it ends."""
    whole = [read_set(arguments.data / name) for name in arguments.sets]
    sets = [cut_set(each, size_of(arguments, each.name)) for each in whole]
    held_out = held_out_questions(arguments.ordinary, arguments.rows, arguments.held_out)
    prompts = [PromptSet.from_folder(arguments.data / name) for name in PROMPT_SETS]
    readers = _readers(arguments)
    record, output = record_now(readers.model.fingerprint), arguments.output
    written = max(arguments.hyde, COMPARED)
    measured: dict[str, Callable[[], Any]] = {
        "sets": lambda: measure_retrieval(readers, sets, held_out[:OTHERS]),
        "unseen": lambda: _unseen(readers, whole, held_out[:OTHERS], arguments),
        "whole": lambda: _whole(readers, whole, sets, held_out[:OTHERS], arguments),
        "latency": lambda: measure_latency(readers, sets[0].queries),
        "safety": lambda: _safety(readers, held_out, prompts, arguments),
        "overlap": lambda: measure_overlap(arguments.rows, whole, prompts),
        "decoded": lambda: _decoded(readers, sets, written, arguments.third_encoder),
        "hyde": lambda: _hyde(readers, sets, written),
    }
    keep(output, "made", lambda: _made(readers, arguments.rows))
    for part in arguments.parts:
        keep(output, part, measured[part], record)


def measure_dtypes(arguments: argparse.Namespace) -> None:
    """Write the accuracy of the LLM's dtypes to the output."""
    model = LLM2VecGen.from_pretrained(arguments.model, dtype=EXACT)
    keep(
        arguments.output,
        "accuracy",
        lambda: measure_accuracy(
            arguments.model,
            cuts(arguments, ACCURACY_SETS),
            arguments.work / "accuracy",
            dtypes=arguments.dtypes,
            max_length=arguments.max_length,
        ),
        record_now(model.fingerprint),
    )


def measure_checkpoints(arguments: argparse.Namespace) -> None:
    """Add the figures of other checkpoints on the model's LLM to the output."""
    record = record_now(None)
    measured = _ndcg_of_checkpoints(arguments, dict(arguments.recipe))
    for each in measured.values():
        each["provenance"] = record | {"fingerprint": each.pop("fingerprint")}
    before = read_figures(arguments.output).get("recipes", {})
    keep(arguments.output, "recipes", lambda: before | measured)


def measure_variants(arguments: argparse.Namespace) -> None:
    """Write the figures of the short training runs to the output."""
    folders = {
        variant.label: arguments.variants / name / MODEL_FOLDER
        for name, variant in VARIANTS.items()
    }
    keep(
        arguments.output,
        "variants",
        lambda: _ndcg_of_checkpoints(arguments, folders),
        record_now(None),
    )


def _ndcg_of_checkpoints(
    arguments: argparse.Namespace, folders: Mapping[str, Path]
) -> dict[str, Any]:
    """Return what `measure_recipes` does, on the sets that were asked for."""
    return measure_recipes(
        folders,
        cuts(arguments, arguments.sets),
        arguments.work / "recipes",
        base_model=find_llm() if arguments.model == SMOLLM2 else arguments.model,
        max_length=arguments.max_length,
    )


def cuts(arguments: argparse.Namespace, names: Sequence[str]) -> list[RetrievalSet]:
    """Return the sets of those names, each cut to its size or to the one that was asked for."""
    return [cut_set(read_set(arguments.data / name), size_of(arguments, name)) for name in names]


def size_of(arguments: argparse.Namespace, name: str) -> Cut:
    """Return how much of a set is measured."""
    return Cut(arguments.documents or CUTS[name].documents, arguments.queries or CUTS[name].queries)


def _readers(arguments: argparse.Namespace) -> Readers:
    model = LLM2VecGen.from_pretrained(arguments.model, dtype="float32")
    teacher = SentenceTransformersTeacher(str(arguments.teacher), device="cpu")
    work = KeptVectors(arguments.work)
    return Readers(model, work, arguments.max_length, teacher, arguments.middle)


def _made(readers: Readers, rows: Path) -> dict[str, Any]:
    """Return what the figures were made with; of paths, the last part only."""
    return {
        "model": Path(readers.model.name).name,
        "response_tokens": len(readers.model.response_tokens),
        "max_length": readers.max_length,
        "middle_layer": readers.middle,
        "rows_sha256": file_digest(rows),
    }


def _unseen(
    readers: Readers, whole: list[RetrievalSet], others: list[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    first = [cut_set(each, CUTS[each.name]) for each in whole]
    sets = [unseen_set(each, CUTS[each.name], size_of(arguments, each.name)) for each in whole]
    # texts of the same names as the first cut's are kept in a folder of their own
    apart = dataclasses.replace(readers, work=KeptVectors(readers.work.folder / "unseen"))
    return measure_unseen(apart, sets, first, others)


def _whole(
    readers: Readers,
    whole: list[RetrievalSet],
    sets: list[RetrievalSet],
    others: list[str],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Return what both cuts give when the LLM reads as much of a text as `index` lets it."""
    length = indexed_tokens(readers.model)
    work = KeptVectors(readers.work.folder / "whole")
    apart = dataclasses.replace(readers, work=work, max_length=length)
    return {
        "max_length": length,
        "longer": {each.name: apart.longer(each.documents) for each in sets},
        "sets": measure_retrieval(apart, sets, others),
        "unseen": _unseen(apart, whole, others, arguments),
    }


def _decoded(
    readers: Readers, sets: list[RetrievalSet], written: int, third_encoder: Path
) -> dict[str, Any]:
    return measure_decoded(readers, sets, load_third_encoder(third_encoder), written)


def _safety(
    readers: Readers, held_out: list[str], prompts: list[PromptSet], arguments: argparse.Namespace
) -> dict[str, Any]:
    trained = training_prompts(arguments.rows, arguments.ordinary_trained)
    return measure_safety(readers, trained, held_out, prompts)


def _hyde(readers: Readers, sets: list[RetrievalSet], written: int) -> dict[str, Any]:
    return {asked.name: measure_written(readers, asked, written) for asked in sets}


if __name__ == "__main__":
    main()
