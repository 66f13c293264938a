"""The bundled recipes of the published models say what the paper says."""

from __future__ import annotations

import dataclasses

import pytest

from llm2vec_gen_rag.training.config import RECIPES, Recipe, load_recipe

PUBLISHED = {
    "qwen3-0.6b": ("Qwen/Qwen3-0.6B", "Qwen3-06B"),
    "qwen3-1.7b": ("Qwen/Qwen3-1.7B", "Qwen3-17B"),
    "qwen3-4b": ("Qwen/Qwen3-4B", "Qwen3-4B"),
    "qwen3-8b": ("Qwen/Qwen3-8B", "Qwen3-8B"),
    "qwen2.5-0.5b": ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen25-05B-Instruct"),
    "qwen2.5-1.5b": ("Qwen/Qwen2.5-1.5B-Instruct", "Qwen25-15B-Instruct"),
    "qwen2.5-3b": ("Qwen/Qwen2.5-3B-Instruct", "Qwen25-3B-Instruct"),
    "qwen2.5-7b": ("Qwen/Qwen2.5-7B-Instruct", "Qwen25-7B-Instruct"),
    "llama3.2-1b": ("meta-llama/Llama-3.2-1B-Instruct", "Meta-Llama-32-1B-Instruct"),
    "llama3.2-3b": ("meta-llama/Llama-3.2-3B-Instruct", "Meta-Llama-32-3B-Instruct"),
    "llama3.1-8b": ("meta-llama/Llama-3.1-8B-Instruct", "Meta-Llama-31-8B-Instruct"),
}


def test_there_is_one_for_every_published_size():
    names = {path.stem for path in RECIPES.glob("*.yaml")}
    rounds = {"smollm2", "smollm2_further", "smollm2_joined", "smollm2_unsupervised"}
    assert names == {*PUBLISHED, "almanac", *rounds}


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_has_the_settings_of_the_paper(name):
    base, teacher = PUBLISHED[name]
    assert load_recipe(name) == dataclasses.replace(
        Recipe(),
        base_model=base,
        teacher="llm2vec",
        teacher_model=f"McGill-NLP/LLM2Vec-{teacher}-mntp-unsup-simcse",
        learning_rate=3e-4 if name.startswith("qwen3") else 5e-4,
        schedule_steps=20000,
        gradient_checkpointing=True,
    )


def test_the_defaults_are_the_papers():
    """arXiv 2603.10913 v2, appendix C."""
    recipe = Recipe()
    assert (recipe.response_tokens, recipe.compression_tokens) == (10, 10)
    assert (recipe.warmup_steps, recipe.steps, recipe.batch_size) == (100, 5000, 32)
    assert (recipe.max_length, recipe.max_new_tokens, recipe.seed) == (512, 500, 42)
    assert recipe.reconstruction_weight == recipe.alignment_weight == 1
