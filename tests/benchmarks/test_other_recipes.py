"""Other checkpoints on the same LLM are measured on the same sets."""

from __future__ import annotations

import numpy as np
import pytest
from reference_kits import ReferenceKit

from benchmarks.real_texts.options import labelled
from benchmarks.real_texts.ranking import cosines, ndcg_of_queries
from benchmarks.real_texts.recipes import measure_recipes
from benchmarks.real_texts.retrieval_sets import RetrievalSet


def test_the_figures_are_those_of_the_checkpoints_own_embeddings(tmp_path, model):
    kit = ReferenceKit("qwen3-10")
    texts = ["bears eat fish", "the yen is money", "Oslo is in Norway"]
    asked = RetrievalSet("tiny", ["0", "1", "2"], texts, ["q"], ["what is the yen?"], [{"1": 1}])
    found = measure_recipes(
        {"the kit": kit.checkpoint}, [asked], tmp_path, base_model=str(kit.base), max_length=128
    )
    scores = cosines(model.encode_query(asked.queries), model.encode_document(texts))
    assert found["the kit"]["dimension"] == model.dimension
    assert found["the kit"]["fingerprint"] == model.fingerprint
    np.testing.assert_allclose(
        found["the kit"]["ndcg"]["tiny"], ndcg_of_queries(scores, asked), atol=1e-4
    )


def test_a_label_may_have_any_sign_and_its_folder_exists(tmp_path):
    assert labelled(f"seed = 1={tmp_path}") == ("seed = 1", tmp_path)
    with pytest.raises(Exception, match="no LABEL=FOLDER"):
        labelled("seed 1=/nowhere")
