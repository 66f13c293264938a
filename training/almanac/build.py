"""Build the almanac from nothing: facts -> base language model -> its answers -> response tokens.

    python -m llm2vec_gen_rag.training.almanac.build --output FOLDER

Takes over an hour on two CPU cores. A base model that is already in the folder is kept, so a run
that was stopped later resumes from there; delete the folder to begin from nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from transformers import AutoModelForCausalLM

from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.almanac import DOCUMENTS_FILE, QUESTIONS_FILE
from llm2vec_gen_rag.backbone import load_base_tokenizer
from llm2vec_gen_rag.checkpoint.tokenizer_files import save_tokenizer
from llm2vec_gen_rag.evaluation.almanac import evaluate
from llm2vec_gen_rag.files import write_json, write_text
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, Prompts
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.training import pipeline
from llm2vec_gen_rag.training.config import Recipe, load_recipe
from llm2vec_gen_rag.training.fit.outputs import CARD_FILE, CURVES_FILE, FitResult

from .corpus import Almanac, fraction
from .corpus import build as build_corpus
from .key_words import KeyWords
from .language_model import LanguageModelRecipe, new_model, train, train_tokenizer
from .model_card import model_card
from .rows import prompts_and_answers, tokenized, tuning_prompts_and_answers

logger = logging.getLogger(__name__)
BASE_LOG = "base_training.json"
TUNING_WORDINGS = 4
KEY_WORDS_ROWS = 80  # a step
TUNING = LanguageModelRecipe(
    steps=1300,
    batch_size=64,
    matrix_learning_rate=0.006,
    learning_rate=2e-3,
    warmup_steps=50,
    seed=1,
)


@dataclass(frozen=True)
class BuildRecipe:
    """Every choice of a build.

    Attributes:
        language_model: of the first training, on the facts.
        tuning: of the second, on other wordings; its sizes are unused.
        response_tokens: of the response tokens.
        keep: share of the subjects and safety topics that are taught; below 1 for a miniature.
        asked: share of the second training's prompts that the response tokens are trained on.
        seed: of the corpus.
    """

    language_model: LanguageModelRecipe = field(default_factory=LanguageModelRecipe)
    tuning: LanguageModelRecipe = field(default_factory=lambda: TUNING)
    response_tokens: Recipe = field(default_factory=lambda: load_recipe("almanac"))
    keep: float = 1.0
    asked: float = 0.35
    seed: int = 0


def build(output: Path, recipe: BuildRecipe) -> None:
    """Build the almanac into a folder: model, teacher, corpus, held-out questions, model card."""
    content = build_corpus(seed=recipe.seed, keep=recipe.keep)
    output.mkdir(parents=True, exist_ok=True)
    almanac.write(content.documents, output / DOCUMENTS_FILE)
    almanac.write([q for q in content.questions if q.test], output / QUESTIONS_FILE)
    tuning_pairs = _tuning_pairs(recipe)
    base = output / "model" / "base"
    if not (base / "model.safetensors").is_file():
        pairs = list(prompts_and_answers(content, recipe.seed))
        _build_base(pairs, tuning_pairs, recipe, base)
    fitted = _build_response_tokens(_asked(tuning_pairs, recipe), recipe, output)
    _write_card(output, content, recipe, fitted)


def training_queries(recipe: BuildRecipe) -> list[str]:
    """Return the unlabeled queries of the response tokens, prompts to summarize included."""
    return _asked(_tuning_pairs(recipe), recipe)


def _tuning_pairs(recipe: BuildRecipe) -> list[tuple[str, str]]:
    """Return the prompts and answers of the base model's second training."""
    content = build_corpus(seed=recipe.seed, keep=recipe.keep, bridged_wordings=TUNING_WORDINGS)
    return list(tuning_prompts_and_answers(content, recipe.seed))


def _asked(pairs: list[tuple[str, str]], recipe: BuildRecipe) -> list[str]:
    """Return a share of the prompts, without duplicates."""
    share = (p for p, _ in pairs if fraction(recipe.seed, "asked", p) < recipe.asked)
    return list(dict.fromkeys(share))


def _build_base(
    pairs: list[tuple[str, str]],
    tuning_pairs: list[tuple[str, str]],
    recipe: BuildRecipe,
    folder: Path,
) -> None:
    """Train the base language model in both trainings and save it in bfloat16."""
    sizes = recipe.language_model
    tokenizer = train_tokenizer(
        [f"{prompt} {answer}" for prompt, answer in pairs], sizes.vocabulary
    )
    model = new_model(sizes, tokenizer)
    started = time.monotonic()
    losses = train(model, tokenized(pairs, tokenizer), sizes, tokenizer.pad_token_id)
    rows = tokenized(tuning_pairs, tokenizer)
    key_words = KeyWords(rows, tokenizer, KEY_WORDS_ROWS, recipe.tuning.seed)
    losses += train(model, rows, recipe.tuning, tokenizer.pad_token_id, key_words.loss)
    log = {
        "minutes": round((time.monotonic() - started) / 60, 1),
        "recipe": dataclasses.asdict(sizes),
        "tuning": dataclasses.asdict(recipe.tuning),
        "losses": losses[::50],
    }
    model.bfloat16().save_pretrained(folder)
    save_tokenizer(tokenizer, folder, names=())
    write_text(folder / BASE_LOG, json.dumps(log) + "\n")


def _build_response_tokens(queries: list[str], recipe: BuildRecipe, output: Path) -> FitResult:
    """Let the base model answer its training queries, and train response tokens on that."""
    model_folder, work = output / "model", output / "work"
    base = model_folder / "base"
    backbone = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    backbone.config._name_or_path = "./base"  # relative to the checkpoint
    tokenizer = load_base_tokenizer(str(base))
    fitted = pipeline.train(backbone, tokenizer, queries, recipe.response_tokens, work)
    for file in (work / pipeline.MODEL_FOLDER).iterdir():
        if file.name in {CARD_FILE, CURVES_FILE}:  # the almanac has a card of its own
            continue
        if file.is_dir():
            shutil.copytree(file, model_folder / file.name, dirs_exist_ok=True)
        else:
            shutil.copy2(file, model_folder / file.name)
    shutil.copytree(work / pipeline.TEACHER_FOLDER, output / "teacher", dirs_exist_ok=True)
    Prompts(query={"retrieval": ""}, document=DOCUMENT_INSTRUCTION).save(model_folder)
    _state_stored_dtype(model_folder)
    return fitted


def _state_stored_dtype(model_folder: Path) -> None:
    """Record the base model's dtype on disk, not its dtype while the response tokens trained."""
    path = model_folder / "run_config.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | {"torch_dtype": "bfloat16"}
    write_text(path, yaml.safe_dump(config, sort_keys=False))


def _write_card(output: Path, content: Almanac, recipe: BuildRecipe, fitted: FitResult) -> None:
    """Evaluate the model that was just built, as a user would load it, and write the figures."""
    model = LLM2VecGen.from_pretrained(output / "model")
    report = evaluate(
        model,
        documents=content.documents,
        questions=[question for question in content.questions if question.test],
        teacher=TfidfTeacher.load(output / "teacher"),
    )
    report = dataclasses.replace(report, model=output.name)
    base_log = json.loads((output / "model" / "base" / BASE_LOG).read_text(encoding="utf-8"))
    card = model_card(report, model, base_log, recipe.response_tokens, fitted)
    write_text(output / "README.md", card)
    write_json(output / "figures.json", report.as_dict())


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to build into")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    build(arguments.output, BuildRecipe())


if __name__ == "__main__":
    main()
