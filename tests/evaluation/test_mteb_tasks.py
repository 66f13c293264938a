"""The paper's benchmarks: their tasks, each with an instruction, and the paper's figures beside."""

from __future__ import annotations

import pytest

pytest.importorskip("mteb", reason="the extra eval brings it")

from llm2vec_gen_rag.evaluation import bright, mteb_tasks
from llm2vec_gen_rag.evaluation.paper_figures import CATEGORIES
from llm2vec_gen_rag.prompts import QUERY_INSTRUCTIONS
from llm2vec_gen_rag.prompts.mteb import MTEB_INSTRUCTIONS

PUBLISHED = "McGill-NLP/LLM2Vec-Gen-Qwen3-4B"


@pytest.fixture(scope="module")
def kinds():
    return {task.metadata.name: task.metadata.type for task in mteb_tasks.benchmark_tasks()}


def test_every_one_of_the_41_tasks_has_its_instruction(kinds):
    assert len(kinds) == 41
    assert set(kinds) == set(MTEB_INSTRUCTIONS)
    assert set(kinds.values()) == set(CATEGORIES)
    assert MTEB_INSTRUCTIONS["ArguAna"] == (
        "Generate text that refutes this claim. Just output the text, no other text or "
        "description: "
    )
    assert all(i.endswith(": ") and "  " not in i for i in MTEB_INSTRUCTIONS.values())


def test_the_lite_list_has_ten_tasks_in_its_order():
    names = [task.metadata.name for task in mteb_tasks.benchmark_tasks("lite")]
    assert names == list(mteb_tasks.LITE)
    assert len(names) == 10


def test_tasks_are_chosen_by_name_and_an_unknown_one_is_reported():
    (task,) = mteb_tasks.benchmark_tasks("STS17")
    assert task.hf_subsets == ["en-en"]
    with pytest.raises(ValueError, match="'BIOSSESSTS17' is no task of MTEB"):
        mteb_tasks.benchmark_tasks("ArguAna,BIOSSESSTS17")


def test_all_tasks_stand_beside_the_paper_by_category(kinds):
    scores = {name: 50.0 + (kind == "STS") for name, kind in kinds.items()}
    comparison = mteb_tasks.compare(PUBLISHED, "all", scores, kinds)
    mean, *categories = comparison.lines[: 1 + len(CATEGORIES)]
    assert (mean.name, mean.paper, mean.teacher) == ("mean of 41", 60.6, 56.8)
    assert mean.measured == pytest.approx(50 + 9 / 41)
    sts = categories[CATEGORIES.index("STS")]
    assert (sts.name, sts.measured, sts.paper, sts.teacher) == ("STS (9)", 51.0, 78.6, 71.6)
    assert "| ArguAna | 50.0 | – | – |" in comparison.as_text()


def test_lite_is_compared_with_the_lite_mean_and_a_choice_with_nothing(kinds):
    scores = dict.fromkeys(mteb_tasks.LITE, 60.0)
    lite = mteb_tasks.compare(PUBLISHED, "lite", scores, kinds)
    assert (lite.lines[0].paper, lite.notes) == (67.9, (mteb_tasks.LITE_NOTE,))
    assert len(lite.lines) == 11
    chosen = mteb_tasks.compare(PUBLISHED, "ArguAna", {"ArguAna": 60.0}, kinds)
    assert [line.paper for line in chosen.lines] == [None, None]


def test_bright_has_twelve_sets_each_with_its_instruction():
    import mteb

    known = {task.metadata.name for task in mteb.get_benchmark("BRIGHT(v1.1)").tasks}
    assert len(bright.TASKS) == 12
    assert set(bright.TASKS.values()) <= known
    assert {f"bright/{domain}" for domain in bright.TASKS} <= set(QUERY_INSTRUCTIONS)
    for domain in ("biology", "earth_science", "sustainable_living"):  # as the runs filled it in
        post = f"Given a {domain} post, generate relevant passages that help answer the post: "
        assert QUERY_INSTRUCTIONS[f"bright/{domain}"] == post


def test_the_paper_s_bright_figure_is_for_all_sets():
    whole = bright.compare(PUBLISHED, dict.fromkeys(bright.TASKS, 20.0))
    assert (whole.lines[0].measured, whole.lines[0].paper) == (20.0, 18.8)
    part = bright.compare(PUBLISHED, {"biology": 20.0})
    assert part.lines[0].paper is None


def test_an_unknown_set_of_bright_is_reported(model):
    with pytest.raises(ValueError, match="'botany' is no set of BRIGHT; expected biology"):
        bright.evaluate_bright(model, ["botany"])
