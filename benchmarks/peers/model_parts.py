"""What the engines compute our vectors from: a checkpoint as two matrices beside its base LLM.

The response tokens follow the LLM's own tokens in its table of embeddings, so that an engine reads
a text and its response tokens as nothing but token ids. Both heads are linear, so they are one:
embedding = mean of the response tokens' last hidden states @ weight.T + bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.gguf_file import write_gguf
from llm2vec_gen_rag import LLM2VecGen

MAX_LENGTH = 512
KINDS = {"bfloat16": "BF16", "float32": "F16"}


@dataclass(frozen=True)
class Parts:
    """Files of one checkpoint.

    Attributes:
        base: the folder of its LLM.
        file: its response tokens and heads, as `write_parts` wrote them.
        dtype: that ours computes in on this processor.
        gguf_files: the LLM with the response tokens, by the kind of its numbers.
    """

    base: Path
    file: Path
    dtype: str
    gguf_files: dict[str, Path]


def write_parts(model: LLM2VecGen, base: Path, folder: Path) -> Parts:
    """Write what the engines load into a folder; GGUF files that are there are kept.

    llama.cpp multiplies bfloat16 at full speed only where the processor does, so the file of 16
    bits is of float16 elsewhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, second = model.reconstruction, model.alignment
    tensors = {
        "response_tokens": model.response_tokens,
        "weight": second.weight @ first.weight,
        "bias": second.weight @ first.bias + second.bias,
    }
    arrays = {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    np.savez(folder / "parts.npz", **arrays)
    dtype = str(model.dtype).removeprefix("torch.")
    files = {kind: folder / f"{kind}.gguf" for kind in (KINDS[dtype], "Q8_0")}
    for kind, file in files.items():
        if not file.is_file():
            write_gguf(file, base, arrays["response_tokens"], kind)
    return Parts(base, folder / "parts.npz", dtype, files)


def token_rows(model: LLM2VecGen, texts: Sequence[str], instruction: str) -> list[list[int]]:
    """Return the ids of each text after its instruction, the response tokens' at the end."""
    count = len(model.response_tokens)
    first = model.backbone.get_input_embeddings().weight.shape[0]
    read = model.text_tokenizer.tokenize(texts, instruction, max_tokens=MAX_LENGTH - count)
    return [[*row.tolist(), *range(first, first + count)] for row in read.rows]
