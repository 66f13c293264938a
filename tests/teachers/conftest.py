"""A tiny model, loaded anew for every test that trains it."""

from __future__ import annotations

import pytest


@pytest.fixture
def model(load_kit):
    return load_kit("qwen3-10")
