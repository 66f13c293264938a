"""Runs without their picture, which takes longer to draw than a run this short."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.training.fit import outputs


@pytest.fixture(scope="module")
def undrawn():
    """Leave the curves out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "draw_curves", lambda log, path: None)
        yield
