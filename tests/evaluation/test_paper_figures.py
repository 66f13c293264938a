"""The paper's figures: found by a checkpoint's name, and consistent among themselves."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.evaluation.paper_figures import NOTHING, PUBLISHED, published_figures

TASKS = {  # of MTEB(eng, v2), by category
    "Retrieval": 10,
    "Reranking": 2,
    "Clustering": 8,
    "PairClassification": 3,
    "Classification": 8,
    "STS": 9,
    "Summarization": 1,
}


@pytest.mark.parametrize(
    "name",
    [
        "McGill-NLP/LLM2Vec-Gen-Qwen3-17B",
        "checkpoints/LLM2Vec-Gen-Qwen3-1.7B",
        "/models/llm2vec-gen-qwen3-17b/",
    ],
)
def test_a_checkpoint_is_known_by_the_last_part_of_its_name(name):
    assert published_figures(name).model.bright == 15.6


@pytest.mark.parametrize("name", ["almanac", "Qwen/Qwen3-1.7B", "mine/model"])
def test_other_models_have_no_figures(name):
    assert published_figures(name) is NOTHING


@pytest.mark.parametrize(
    "figures",
    [figures for pair in PUBLISHED.values() for figures in (pair.model, pair.teacher)
     if figures.categories],
)  # fmt: skip
def test_the_mean_over_tasks_follows_from_the_categories(figures):
    total = sum(figures.categories[category] * count for category, count in TASKS.items())
    assert total / 41 == pytest.approx(figures.mteb, abs=0.1)
