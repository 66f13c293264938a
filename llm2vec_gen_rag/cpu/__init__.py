"""The frozen LLM's layers written out for a CPU, forward and backward.

`forward_for`, `gradient_forward_for` and `decoding_for` are the one place to ask: each gives what
runs the layers, or None where the LLM's own forward has to. `FASTER_WAYS` are the choices that
depend on the processor.
"""

import torch

from llm2vec_gen_rag.backbone.int8 import PRODUCTS_OF_INT8
from llm2vec_gen_rag.backbone.laying_out import LAID_OUT, PLAIN_ROW
from llm2vec_gen_rag.backbone.products import (
    FLOAT32_BY_ONEDNN,
    MATRIX_FIRST,
    ROW_BY_PARTS,
    ROW_WITHOUT_ONEDNN,
)
from llm2vec_gen_rag.cpu.attention import FUSED_IN_BFLOAT16
from llm2vec_gen_rag.cpu.backward import GradientForward, gradient_forward_for
from llm2vec_gen_rag.cpu.buffers import reuse_buffers
from llm2vec_gen_rag.cpu.decoding import decoding_for
from llm2vec_gen_rag.cpu.forward import NO_PREFIX, Forward, Prefix, forward_for
from llm2vec_gen_rag.cpu.packing import WIDTH_STEP, Packing, packing_of_few_sizes, rounded_up
from llm2vec_gen_rag.cpu.prefix_cache import PrefixCache, shared_prefix

__all__ = [
    "FASTER_WAYS",
    "NO_PREFIX",
    "WIDTH_STEP",
    "Forward",
    "GradientForward",
    "Packing",
    "Prefix",
    "PrefixCache",
    "decoding_for",
    "forward_for",
    "gradient_forward_for",
    "packing_of_few_sizes",
    "reuse_buffers",
    "rounded_up",
    "shared_prefix",
]

FASTER_WAYS = {
    "fused_attention_in_bfloat16": FUSED_IN_BFLOAT16,
    "float32_by_onednn": FLOAT32_BY_ONEDNN,
    "bfloat16_row_without_onednn": ROW_WITHOUT_ONEDNN,
    "float32_row_by_parts": ROW_BY_PARTS,
    "float32_few_rows_transposed": MATRIX_FIRST,
    "products_of_int8": PRODUCTS_OF_INT8,
    "bfloat16_laid_out": LAID_OUT[torch.bfloat16],
    "float32_laid_out": LAID_OUT[torch.float32],
    "bfloat16_row_by_plain_matrix": PLAIN_ROW[torch.bfloat16],
    "float32_row_by_plain_matrix": PLAIN_ROW[torch.float32],
}
