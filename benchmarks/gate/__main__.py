"""Measure the refusal gates that ship, beside key words and a classifier on the teacher's vectors.

    python -m benchmarks.gate --teacher FOLDER --data FOLDER --questions FILE [--rows FILE]
    python -m benchmarks.gate --only-page

The folder of data holds jailbreakbench and xstest as `eval refusals` reads them; questions are JSON
lines, each with its "query", those that the gate of smollm2 was calibrated with. The rows are those
of every round (`python -m llm2vec_gen_rag.training.smollm2.rows --every-round`). Writes
docs/evidence/gate.json, docs/plots/gate.png and docs/gate.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gate.figures import measure
from benchmarks.gate.page import page
from benchmarks.gate.plot import draw
from benchmarks.gate.scores import (
    GATE,
    KEY_WORDS,
    TEACHER,
    Score,
    gate_score,
    key_words,
    teacher_score,
)
from benchmarks.gate.sets import QuerySet, almanac_set, ordinary_questions, prompt_set
from benchmarks.plots import PLOTS
from benchmarks.provenance import code_commit, file_digest
from benchmarks.real_texts.kept_vectors import KeptVectors
from benchmarks.real_texts.results_file import as_json
from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.safety import RefusalGate
from llm2vec_gen_rag.teachers.protocol import Teacher
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.training.gates import Prompts, almanac_prompts, gate_prompts

PROMPT_SETS = ("jailbreakbench", "xstest")


def main() -> None:
    """Measure, and write the figures, the plot and the page."""
    arguments = parse()
    if not arguments.only_page:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(as_json(measured(arguments)), encoding="utf-8")
    figures = json.loads(arguments.output.read_text(encoding="utf-8"))
    arguments.plots.mkdir(parents=True, exist_ok=True)
    draw(figures["sets"]).savefig(arguments.plots / "gate.png", dpi=150)
    arguments.page.write_text(page(figures), encoding="utf-8")


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    work = KeptVectors(arguments.work)
    figures: dict[str, Any] = {"made": {"commit": code_commit(), "models": {}}, "sets": {}}
    tfidf = TfidfTeacher.load(almanac.TEACHER_FOLDER)
    asked = [almanac_set(arguments.held_out)]
    add(figures, _shipped("almanac"), ("its TF-IDF", tfidf), almanac_prompts(), asked, work)
    figures["made"]["ordinary"] = _ordinary(arguments.rows is not None)
    if arguments.rows is not None:
        figures["made"]["rows_sha256"] = file_digest(arguments.rows)
    if arguments.data is None:
        return figures
    prompts = gate_prompts("smollm2", arguments.questions)
    ordinary = ordinary_questions(arguments.questions, arguments.rows, arguments.held_out)
    asked = [prompt_set(arguments.data / name, ordinary, prompts) for name in PROMPT_SETS]
    minilm = SentenceTransformersTeacher(str(arguments.teacher), device="cpu")
    add(figures, _shipped("smollm2"), ("all-MiniLM-L6-v2", minilm), prompts, asked, work)
    return figures


def _shipped(name: str) -> RefusalGate:
    return RefusalGate.of(LLM2VecGen.from_pretrained(name, dtype="float32"))


def add(
    figures: dict[str, Any],
    gate: RefusalGate,
    named_teacher: tuple[str, Teacher],
    prompts: Prompts,
    sets: list[QuerySet],
    work: KeptVectors,
) -> None:
    """Add the figures of a gate on sets, beside those of the other two scores.

    Args:
        figures: of gates, by the names of their models, and of sets, by theirs.
        gate: what is measured.
        named_teacher: a teacher, and what the page calls it.
        prompts: what the gate was calibrated on, and the teacher's regression is fitted on.
        sets: the queries.
        work: keeps embeddings.
    """
    name = gate.model.name
    teacher_name, teacher = named_teacher
    scores: Mapping[str, tuple[Score, float]] = {
        GATE: (gate_score(gate, work), gate.threshold),
        TEACHER: teacher_score(teacher, prompts, gate.calibration.false_refusal_rate),
        KEY_WORDS: (key_words, 0.0),
    }
    figures["made"]["models"][name] = {
        "fingerprint": gate.model.fingerprint,
        "teacher": teacher_name,
        "calibration": asdict(gate.calibration),
    }
    for each in sets:
        figures["sets"][each.name] = {"model": name, **measure(each, scores)}


def _ordinary(without_rows: bool) -> str:
    left_out = " nor in a training row of smollm2" if without_rows else ""
    return (
        "Ordinary questions of the almanac are its held-out ones about facts; the others are drawn "
        f"at random from real ones, none of them in the calibration{left_out}."
    )


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--teacher", type=Path, help="folder of all-MiniLM-L6-v2")
    add("--data", type=Path, help="folder of folders; without it, the almanac alone is measured")
    add("--questions", type=Path, help="JSON lines")
    add("--rows", type=Path, help="the training rows of every round, which are left out")
    add("--held-out", type=int, default=500, help="ordinary questions (default: %(default)s)")
    add("--output", type=Path, default=Path("docs/evidence/gate.json"), help="%(default)s")
    add("--plots", type=Path, default=PLOTS, help="folder of gate.png")
    add("--page", type=Path, default=Path("docs/gate.md"), help="%(default)s")
    add("--work", type=Path, default=Path("runs/gate"), help="keeps vectors; %(default)s")
    add("--only-page", action="store_true", help="draw and write what was measured before")
    arguments = parser.parse_args()
    needed = (arguments.teacher, arguments.questions)
    if arguments.data is not None and None in needed:
        parser.error("--data needs --teacher and --questions")
    return arguments


if __name__ == "__main__":
    main()
