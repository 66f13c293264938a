"""A GGUF file: its metadata, and its tensors as they are packed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.backbone.gguf.header import StoredTensor, file_error, not_readable, read_header
from llm2vec_gen_rag.errors import BaseModelError, require_extra


@dataclass(frozen=True)
class GGUFFile:
    """What a GGUF file states; its tensors stay in the file until they are asked for.

    Attributes:
        path: the file.
        metadata: values by key, arrays as lists.
        tensors: by their names in the file.
    """

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]

    @classmethod
    def read(cls, path: Path) -> GGUFFile:
        """Read the metadata of a file, and check that its tensors are whole.

        Args:
            path: the file.

        Returns:
            What it states.

        Raises:
            BaseModelError: if it cannot be read, is no GGUF file or of another version or byte
                order, or is cut short.
            MissingExtraError: if the extra "gguf" is not installed.
        """
        require_extra("gguf", "gguf")
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                metadata, tensors = read_header(stream, path, size)
        except OSError as error:
            raise BaseModelError(not_readable(path, error)) from error
        file = cls(path, metadata, tensors)
        for name, tensor in tensors.items():
            file._require_inside(name, tensor, size)
        return file

    def error(self, found: str, remedy: str | None = None) -> BaseModelError:
        """Return the error for a file that is not as it has to be.

        Args:
            found: what is wrong with it, as a clause.
            remedy: a sentence; None asks for another file.

        Returns:
            The error.
        """
        return file_error(self.path, found, remedy)

    def get(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """Return a value of the metadata.

        Args:
            key: its name.
            kind: the Python types that it may have.
            default: returned if the file does not state it.

        Returns:
            The value.

        Raises:
            BaseModelError: if it is of another type.
        """
        value = self.metadata.get(key, default)
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if key in self.metadata and wrong:
            raise self.error(f"its {key} is {value!r:.60} ({type(value).__name__})")
        return value

    def packed(self, name: str) -> npt.NDArray[Any]:
        """Return the bytes of a tensor, (all rows, bytes of a row) uint8."""
        tensor = self.tensors[name]
        size = _bytes_of(tensor)
        try:
            content = np.fromfile(self.path, np.uint8, size, offset=tensor.offset)
        except OSError as error:
            raise self.error(f"{name} cannot be read from it ({error})") from error
        if len(content) < size:
            raise self.error(f"it ends within {name}, and was whole a moment ago")
        return content.reshape(math.prod(tensor.shape[:-1]), -1)

    def _require_inside(self, name: str, tensor: StoredTensor, size: int) -> None:
        """Raise an error unless a tensor is of a known type and lies inside the file."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        known = {int(kind): kind for kind in GGMLQuantizationType if kind in GGML_QUANT_SIZES}
        if tensor.kind not in known:
            raise self.error(
                f"its tensor {name!r} is of type {tensor.kind}, which the installed gguf does not "
                "know",
                "Run: pip install --upgrade gguf, or pass base_model= with a file of another type, "
                "such as Q8_0.",
            )
        values, _ = GGML_QUANT_SIZES[known[tensor.kind]]
        if tensor.shape[-1] % values:
            raise self.error(
                f"its tensor {name!r} has the shape {tensor.shape}, and "
                f"{known[tensor.kind].name} packs rows of a multiple of {values}"
            )
        if (end := tensor.offset + _bytes_of(tensor)) > size:
            raise self.error(f"it has {size} bytes, and {name!r} ends at {end}: it is cut short")


def _bytes_of(tensor: StoredTensor) -> int:
    """Return how many bytes a tensor takes in the file."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    values, size = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
    total: int = math.prod(tensor.shape) // values * size
    return total
