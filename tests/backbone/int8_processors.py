"""Which processors this package multiplies 8 bits on; on others its tests of that are skipped."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.backbone.int8 import require_exact_sums


def _sums_are_exact():
    try:
        require_exact_sums()
    except ValueError:
        return False
    return True


needs_exact_sums = pytest.mark.skipif(
    not _sums_are_exact(), reason="this CPU has no exact 8-bit sums"
)
