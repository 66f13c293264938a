"""A tensor of a GGUF file as plain numbers."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import torch
from torch import Tensor

from llm2vec_gen_rag.backbone.gguf.file import GGUFFile

# values dequantised at once: few enough that what is computed between stays in a cache
_BLOCK = 1 << 17


def dequantised(file: GGUFFile, name: str, dtype: torch.dtype, threads: Executor) -> Tensor:
    """Return a tensor of a file, as plain numbers.

    Args:
        file: a GGUF file.
        name: the tensor's, in the file.
        dtype: to store it in.
        threads: compute it, block by block.

    Returns:
        The tensor, in the shape of PyTorch.

    Raises:
        BaseModelError: if the installed `gguf` cannot dequantise its type.
    """
    from gguf import GGMLQuantizationType, dequantize

    tensor = file.tensors[name]
    kind = GGMLQuantizationType(tensor.kind)
    packed = file.packed(name)
    columns = tensor.shape[-1]
    weight = torch.empty(len(packed), columns, dtype=dtype)
    step = max(1, _BLOCK // columns)

    def fill(start: int) -> None:
        # as one row: of many, `dequantize` takes 16 at a time, which is slow
        row = packed[start : start + step].reshape(1, -1)
        with np.errstate(all="ignore"):  # a damaged scale: NaN is reported where it is computed
            values = dequantize(row, kind)
        weight[start : start + step] = torch.from_numpy(values.reshape(-1, columns))

    try:
        list(threads.map(fill, range(0, len(packed), step)))
    except NotImplementedError as error:
        raise file.error(
            f"the installed gguf cannot dequantise {kind.name}, the type of {name!r}",
            "Run: pip install --upgrade gguf, or pass base_model= with a file of another type, "
            "such as Q8_0.",
        ) from error
    return weight.view(tensor.shape)
