"""Measure a model on real texts, beside what a user would pick instead, and write the page.

    python -m benchmarks.real_texts --model NAME --teacher FOLDER --data FOLDER
        --rows FILE --ordinary FILE [--output docs/evidence/real_texts.json]
    python -m benchmarks.real_texts --model NAME --data FOLDER --accuracy
    python -m benchmarks.real_texts --model NAME --data FOLDER --recipe LABEL=CHECKPOINT ...
    python -m benchmarks.real_texts --only-page

The folder of data holds sets in the BEIR layout, and jailbreakbench and xstest as `eval refusals`
reads them. Vectors and answers are kept in the folder of work, so a run that was stopped resumes;
each part is written to the output when it ends. All of the LLM's ways read `--max-length` tokens of
a text. At the default sizes the LLM reads 290,000 tokens, in a quarter of an hour on two cores, and
answers take some minutes more.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.real_texts.accuracy import DTYPES, measure_accuracy
from benchmarks.real_texts.decoded import EXAMPLES, measure_decoded
from benchmarks.real_texts.frozen_states import MIDDLE
from benchmarks.real_texts.kept_vectors import KeptVectors
from benchmarks.real_texts.latency import measure_latency
from benchmarks.real_texts.page import write_page
from benchmarks.real_texts.readers import Readers
from benchmarks.real_texts.recipes import measure_recipes
from benchmarks.real_texts.retrieval import measure_retrieval, measure_written
from benchmarks.real_texts.retrieval_sets import CUTS, Cut, RetrievalSet, cut_set, read_set
from benchmarks.real_texts.safety import held_out_questions, measure_safety, training_prompts
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.arguments import SMOLLM2
from llm2vec_gen_rag.evaluation.provenance import checkout_commit
from llm2vec_gen_rag.evaluation.refusals import PromptSet
from llm2vec_gen_rag.smollm2 import find_llm
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher

logger = logging.getLogger(__name__)
OUTPUT = Path("docs/evidence/real_texts.json")
PAGE = Path("docs/real_texts.md")
PROMPT_SETS = ("jailbreakbench", "xstest")
ACCURACY_SETS = ("scifact", "xquad")
_NUMBERS = re.compile(r"\[\n([-+\d.e,\s]+)\]")
OTHERS = 400  # texts beside a set's own on which the whitening is fitted


def main() -> None:
    """Measure what is asked for, and write the page."""
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.recipe:
        measure_checkpoints(arguments)
    elif arguments.accuracy:
        measure_dtypes(arguments)
    elif not arguments.only_page:
        measure(arguments)
    if "made" in json.loads(arguments.output.read_text(encoding="utf-8")):
        write_page(arguments.output, arguments.page)
    else:
        logger.info("no page is written before retrieval was measured, without --accuracy")


def measure(arguments: argparse.Namespace) -> None:
    """Write the parts to the output, each when it ends."""
    model = LLM2VecGen.from_pretrained(arguments.model, dtype="float32")
    teacher = SentenceTransformersTeacher(str(arguments.teacher), device="cpu")
    readers = Readers(
        model, KeptVectors(arguments.work), arguments.max_length, teacher, arguments.middle
    )
    sets = cuts(arguments, arguments.sets, CUTS)
    held_out = held_out_questions(arguments.ordinary, arguments.rows, arguments.held_out)
    written = EXAMPLES if arguments.skip_hyde else max(arguments.hyde, EXAMPLES)
    keep(arguments.output, "made", lambda: _made(readers))
    keep(arguments.output, "sets", lambda: measure_retrieval(readers, sets, held_out[:OTHERS]))
    keep(arguments.output, "latency", lambda: _latency(readers, sets, arguments))
    keep(arguments.output, "safety", lambda: _safety(readers, held_out, arguments))
    keep(arguments.output, "decoded", lambda: measure_decoded(readers, sets, written))
    if not arguments.skip_hyde:
        keep(
            arguments.output,
            "hyde",
            lambda: {asked.name: measure_written(readers, asked, written) for asked in sets},
        )


def measure_dtypes(arguments: argparse.Namespace) -> None:
    """Write the accuracy of the LLM's dtypes to the output."""
    sets = cuts(arguments, ACCURACY_SETS, CUTS)
    work = KeptVectors(arguments.work)
    keep(
        arguments.output,
        "accuracy",
        lambda: measure_accuracy(
            arguments.model,
            sets,
            work,
            dtypes=arguments.dtypes,
            max_length=arguments.max_length,
        ),
    )


def measure_checkpoints(arguments: argparse.Namespace) -> None:
    """Add the figures of other checkpoints on the model's LLM to the output."""
    sets = cuts(arguments, arguments.sets, CUTS)
    figures = json.loads(arguments.output.read_text(encoding="utf-8"))
    base_model = find_llm() if arguments.model == SMOLLM2 else arguments.model
    measured = measure_recipes(
        dict(arguments.recipe),
        sets,
        arguments.work / "recipes",
        base_model=base_model,
        max_length=arguments.max_length,
    )
    keep(arguments.output, "recipes", lambda: figures.get("recipes", {}) | measured)


def cuts(
    arguments: argparse.Namespace, names: tuple[str, ...], sizes: dict[str, Cut]
) -> list[RetrievalSet]:
    """Return the sets of those names, each cut to its size or to the one that was asked for."""
    found = []
    for name in names:
        documents = arguments.documents or sizes[name].documents
        queries = arguments.queries or sizes[name].queries
        found.append(cut_set(read_set(arguments.data / name), Cut(documents, queries)))
    return found


def keep(output: Path, part: str, measured: Callable[[], Any]) -> None:
    """Put one part into the output's JSON, beside the others that it has."""
    logger.info("measuring: %s", part)
    figures = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    figures[part] = measured()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(as_json(figures), encoding="utf-8")


def as_json(figures: Any) -> str:
    """Return JSON, indented but for lists of numbers, each of which is one line."""
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    # no string has a line break in JSON, so nothing in one is changed
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _made(readers: Readers) -> dict[str, Any]:
    """Return what the figures were made with; of paths, the last part only."""
    return {
        "commit": checkout_commit(),
        "model": Path(readers.model.name).name,
        "fingerprint": readers.model.fingerprint,
        "response_tokens": len(readers.model.response_tokens),
        "max_length": readers.max_length,
        "middle_layer": readers.middle,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }


def _latency(
    readers: Readers, sets: list[RetrievalSet], arguments: argparse.Namespace
) -> dict[str, Any]:
    return measure_latency(readers, sets[0].queries, written=not arguments.skip_hyde)


def _safety(readers: Readers, held_out: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    trained = training_prompts(arguments.rows, arguments.ordinary_trained)
    tested = [PromptSet.from_folder(arguments.data / name) for name in PROMPT_SETS]
    return measure_safety(readers, trained, held_out, tested)


def labelled(text: str) -> tuple[str, Path]:
    """Return a label and the folder behind its last `=`."""
    label, _, folder = text.rpartition("=")
    if not label or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no LABEL=FOLDER with a folder that exists")
    return label, Path(folder)


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="smollm2", help="name or folder")
    add("--teacher", type=Path, help="folder of all-MiniLM-L6-v2, which the model was trained with")
    add("--data", type=Path, help="folder of folders")
    add("--rows", type=Path, help="the training rows, JSON lines")
    add("--ordinary", type=Path, help="questions, JSON lines; those of the rows are left out")
    add("--output", type=Path, default=OUTPUT, help="JSON file (default: %(default)s)")
    add("--page", type=Path, default=PAGE, help="Markdown file (default: %(default)s)")
    add("--work", type=Path, default=Path("runs/real_texts"), help="default: %(default)s")
    add("--sets", nargs="+", default=tuple(CUTS), choices=tuple(CUTS), help="default: all")
    add("--documents", type=int, help="of each set, at most")
    add("--queries", type=int, help="of each set, at most")
    add("--max-length", type=int, default=128, help="tokens of a text (default: %(default)s)")
    add("--middle", type=int, default=MIDDLE, help="layer to whiten (default: %(default)s)")
    add("--hyde", type=int, default=30, help="queries of each set to answer (default: %(default)s)")
    add("--skip-hyde", action="store_true", help="write answers only for the decoded examples")
    add("--ordinary-trained", type=int, default=500, help="for the regression (%(default)s)")
    add("--held-out", type=int, default=1000, help="ordinary questions (default: %(default)s)")
    add("--accuracy", action="store_true", help="measure dtypes instead, on scifact and xquad")
    add("--dtypes", nargs="+", default=DTYPES, choices=DTYPES, help="default: both")
    add("--recipe", action="append", type=labelled, metavar="LABEL=CHECKPOINT", help="see above")
    add("--only-page", action="store_true", help="write the page from the output")
    arguments = parser.parse_args()
    needed = [] if arguments.only_page else ["data"]
    if not (arguments.only_page or arguments.accuracy or arguments.recipe):
        needed += ["teacher", "rows", "ordinary"]
    if missing := [f"--{name}" for name in needed if getattr(arguments, name) is None]:
        parser.error(f"missing {', '.join(missing)}")
    return arguments


if __name__ == "__main__":
    main()
