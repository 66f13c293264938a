"""What tests of oneDNN's layout need: a processor that has one, and the dtypes that it is for."""

from __future__ import annotations

import pytest
import torch

from llm2vec_gen_rag.backbone import laying_out

MARKS = [
    pytest.mark.skipif(not laying_out._has_layout(torch.float32), reason="no layout to test"),
    pytest.mark.usefixtures("always_laid_out"),
]
DTYPES = [
    torch.float32,
    pytest.param(
        torch.bfloat16,
        marks=pytest.mark.skipif(
            not laying_out._has_layout(torch.bfloat16), reason="this CPU does not multiply bfloat16"
        ),
    ),
]
