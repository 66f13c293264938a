"""Search results that equal those of another search but for the last digits of a score."""

from __future__ import annotations

from dataclasses import replace

import pytest


def near(hits):
    """Return hits that equal others of nearly the same score.

    Qdrant's local mode normalises the stored vectors in place in every search, so that the first
    search of a collection can differ from the second in a score's last digits.
    """
    return [replace(hit, score=pytest.approx(hit.score, abs=1e-6)) for hit in hits]
