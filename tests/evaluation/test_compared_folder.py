"""A folder is measured beside BM25, hybrid search, the frozen LLM's states and another encoder."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mteb", reason="the extra eval brings it")

from retrieval_folder import write_folder

from llm2vec_gen_rag.evaluation.beir_folder import FolderTask, evaluate_folder
from llm2vec_gen_rag.evaluation.compared_folder import compare_folder, compared_table
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher

STATES = ("the LLM's states, centred", "the LLM's states, whitened")


@pytest.fixture
def task(tmp_path):
    return FolderTask(write_folder(tmp_path / "tiny"))


def test_the_embedding_has_the_figure_of_the_plain_measure(model, task):
    compared = compare_folder(model, task)
    assert list(compared.figures) == [
        "BM25", *STATES, "embedding", "embedding and words (hybrid)",
    ]  # fmt: skip
    expected = evaluate_folder(model, task).scores["ndcg_at_10"]
    assert compared.figures["embedding"].mean == pytest.approx(expected, abs=1e-4)
    assert compared.figures["BM25"].mean == 1  # the words of both questions are in their documents
    assert (compared.documents, compared.queries) == (4, 2)


def test_the_states_are_the_frozen_llms_own(load_kit, task):
    """Other response tokens on the same LLM find other things; its states do not."""
    model = load_kit("qwen3-10")
    before = compare_folder(model, task).figures
    model.response_tokens.data.mul_(-3)
    after = compare_folder(model, task).figures
    assert [before[way] for way in STATES] == [after[way] for way in STATES]


def test_an_encoder_stands_beside_them_and_several_sets_have_a_mean(model, task):
    encoder = TfidfTeacher.fit("projection", ["Oslo is the capital", "the yen is money"])
    compared = compare_folder(model, task, encoder=encoder)
    assert compared.figures["tfidf-projection-256"].mean == 1
    table = compared_table([compared, compared]).splitlines()
    assert table[0] == "| nDCG@10 (95 % interval) | tiny | tiny | mean |"
    assert "| BM25 | 1.000 (1.000 to 1.000) | 1.000 (1.000 to 1.000) | 1.000 |" in table
    assert np.isfinite([figure.mean for figure in compared.figures.values()]).all()
