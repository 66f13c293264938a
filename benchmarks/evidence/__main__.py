"""Train and measure every variation on the bundled language model, then write docs/evidence.md.

    python -m benchmarks.evidence [--data FOLDER] [--work runs/evidence] [--results docs/evidence]

Each run is appended to runs.jsonl when it ends, and what the bundled model scores is written to
bundled.json. Figures in these files are not measured again, so the command can be interrupted and
started again; delete a file to repeat its measurements. On two cores a full run takes some seven
minutes and a short one three.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.evidence.bundled import measure_bundled
from benchmarks.evidence.page import write_page
from benchmarks.evidence.variations import Variation, variations
from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.evaluation.almanac import evaluate
from llm2vec_gen_rag.evaluation.provenance import checkout_commit
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, Prompts
from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher
from llm2vec_gen_rag.teachers.protocol import Teacher
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.training import pipeline
from llm2vec_gen_rag.training.almanac.build import BuildRecipe, training_queries

logger = logging.getLogger(__name__)
BASE = almanac.MODEL_FOLDER / "base"
RESPONSES = ("responses.jsonl", "responses.model.json")  # the same for all variations


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--results", type=Path, default=Path("docs/evidence"))
    parser.add_argument(
        "--data", type=Path, help="folder of folders: prompts to refuse, and BEIR retrieval sets"
    )
    parser.add_argument("--only-page", action="store_true", help="write the page from the results")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    runs, bundled = arguments.results / "runs.jsonl", arguments.results / "bundled.json"
    if not arguments.only_page:
        measure(arguments.work, runs)
        measure_bundled(bundled, arguments.data)
    write_page(runs, bundled, arguments.results.with_suffix(".md"))


def measure(work: Path, runs: Path) -> None:
    """Append every variation that the file of runs lacks."""
    queries = training_queries(BuildRecipe())
    runs.parent.mkdir(parents=True, exist_ok=True)
    runs.touch()
    done: list[dict[str, Any]] = [json.loads(line) for line in runs.open(encoding="utf-8")]
    for variation in variations():
        if any((run["group"], run["name"]) == (variation.group, variation.name) for run in done):
            continue
        logger.info("%s: %s", variation.group, variation.name)
        same = [run for run in done if run["changes"] == variation.changes]
        run = same[0] if same else _run(variation, queries, work)
        run = {**run, "group": variation.group, "name": variation.name}
        done.append(run)
        with runs.open("a", encoding="utf-8") as file:
            file.write(json.dumps(run, ensure_ascii=False) + "\n")


def _run(variation: Variation, queries: list[str], work: Path) -> dict[str, Any]:
    """Train one variation from the bundled language model, and measure it."""
    commit = checkout_commit()
    folder = work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in RESPONSES:
        if (work / name).is_file():
            shutil.copy2(work / name, folder / name)
    backbone = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    recipe = variation.recipe
    fitted = pipeline.train(backbone, tokenizer, queries, recipe, folder)
    for name in RESPONSES:
        shutil.copy2(folder / name, work / name)
    model_folder = folder / pipeline.MODEL_FOLDER
    Prompts(query={"retrieval": ""}, document=DOCUMENT_INSTRUCTION).save(model_folder)
    teacher: Teacher = BackboneMeanTeacher(backbone, tokenizer, name="mean of the base model")
    if recipe.teacher != "backbone-mean":
        teacher = TfidfTeacher.load(folder / pipeline.TEACHER_FOLDER)
    model = LLM2VecGen.from_pretrained(model_folder, base_model=str(BASE))
    return {
        "group": variation.group,
        "name": variation.name,
        "changes": variation.changes,
        "seed": recipe.seed,
        "commit": commit,
        "seconds": round(fitted.seconds),
        "reconstruction": fitted.reconstruction,
        "alignment": fitted.alignment,
        "report": evaluate(model, teacher=teacher).as_dict(),
    }


if __name__ == "__main__":
    main()
