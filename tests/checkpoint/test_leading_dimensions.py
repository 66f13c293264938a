"""Shorter vectors are refused, unless the checkpoint says that it was trained for them."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from llm2vec_gen_rag import LLM2VecGen


def test_a_checkpoint_that_was_not_trained_for_it_says_why(qwen3):
    with pytest.raises(ValueError, match=r"truncate_dim is 8, .* leading numbers are no embedding"):
        qwen3.load(truncate_dim=8)


@pytest.fixture
def trained_for_eight(broken):
    path = broken / "run_config.yml"
    config = yaml.safe_load(path.read_text()) | {"matryoshka_dims": [8, 4096]}
    path.write_text(yaml.safe_dump(config))
    return broken


def test_a_checkpoint_that_was_trained_for_it_gives_the_leading_numbers(
    trained_for_eight, model, tmp_path
):
    options = {"base_model": trained_for_eight / "base", "dtype": "float32", "device": "cpu"}
    short = LLM2VecGen.from_pretrained(trained_for_eight, truncate_dim=8, **options)
    assert short.dimension == 8
    expected = model.encode("x", normalize=False)[:8]
    np.testing.assert_allclose(short.encode("x", normalize=False), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(short.encode("x")), 1, atol=1e-6)
    assert short.fingerprint != model.fingerprint
    for refused in (9, 4096, True):
        with pytest.raises(ValueError, match=f"truncate_dim is {refused}"):
            LLM2VecGen.from_pretrained(trained_for_eight, truncate_dim=refused, **options)
