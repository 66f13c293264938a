"""The GGUF format: what a file states of itself before its tensors.

"GGUF", version, counts | metadata: key, type, value | tensors: name, shape, type, offset | data

The reader of the `gguf` package makes an array of every string, which takes seconds for a
vocabulary, and follows the sizes in a damaged file wherever they lead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from llm2vec_gen_rag.errors import BaseModelError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32  # of tensors, unless `general.alignment` states another
_STRING, _ARRAY = 8, 9
_SCALARS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?"))) | {10: "Q", 11: "q", 12: "d"}
_MOST_DIMENSIONS = 4
# the length of a string takes as many bytes: a count of more strings than fit is no count
_STRING_HEADER = 8


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is, and in which form.

    Attributes:
        shape: as PyTorch counts dimensions: the last varies fastest.
        kind: number of the type, such as that of Q4_1.
        offset: from the start of the file, in bytes.
    """

    shape: tuple[int, ...]
    kind: int
    offset: int


def read_header(
    stream: BinaryIO, path: Path, size: int
) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """Read what precedes the tensors in a GGUF file.

    Args:
        stream: the file, at its beginning.
        path: where it is, for the errors.
        size: how many bytes it has.

    Returns:
        Metadata by key, arrays as lists, and tensors by name.

    Raises:
        BaseModelError: if it is no GGUF file, of another version or byte order, or cut short.
    """
    fields = _Fields(stream, path, size)
    _require_version(fields)
    tensor_count, value_count = fields.number("Q"), fields.number("Q")
    metadata: dict[str, Any] = {}
    for _ in range(value_count):
        key = fields.string()
        metadata[key] = fields.value(fields.number("I"))
    stated = [_stored(fields) for _ in range(tensor_count)]
    data = _data_start(fields, metadata)
    return metadata, {
        name: StoredTensor(shape, kind, data + offset) for name, shape, kind, offset in stated
    }


def _data_start(fields: _Fields, metadata: Mapping[str, Any]) -> int:
    """Return where the tensors begin: after all that was read, aligned."""
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise file_error(fields.path, f"its general.alignment is {alignment!r}")
    return -(-fields.end() // alignment) * alignment


def _stored(fields: _Fields) -> tuple[str, tuple[int, ...], int, int]:
    """Return name, shape, type and offset of the next tensor."""
    name, count = fields.string(), fields.number("I")
    if count > _MOST_DIMENSIONS:
        raise file_error(fields.path, f"its tensor {name!r:.60} has {count} dimensions")
    shape = tuple(fields.number("Q") for _ in range(count))[::-1]
    return name, shape, fields.number("I"), fields.number("Q")


def _require_version(fields: _Fields) -> None:
    """Raise an error unless the file begins as a GGUF file of this byte order does."""
    magic = fields.content(len(MAGIC))
    if magic != MAGIC:
        raise file_error(
            fields.path,
            f"it begins with {magic!r}, and a GGUF file with {MAGIC!r}",
            "Pass base_model= with a GGUF file, a folder in the layout of transformers, or a hub "
            "id.",
        )
    version = fields.number("I")
    if version & 0xFFFF == 0:
        raise file_error(
            fields.path,
            "its numbers are big-endian",
            "Convert it with gguf-convert-endian, or pass base_model= with another file.",
        )
    if version not in _VERSIONS:
        raise file_error(
            fields.path,
            f"it is of version {version} of the format; expected one of {_VERSIONS}",
            "Convert the model again with a present llama.cpp, or pass base_model= with a file "
            "that was.",
        )


class _Fields:
    """Reads numbers and strings one after another, none of them beyond the end of the file."""

    def __init__(self, stream: BinaryIO, path: Path, size: int) -> None:
        self._stream = stream
        self._size = size
        self.path = path

    def content(self, count: int) -> bytes:
        # a damaged file can state any size: nothing of it is allocated
        content = self._stream.read(count) if count <= self._size else b""
        if len(content) < count:
            raise file_error(self.path, f"it ends within its metadata, at {self._size} bytes")
        return content

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.content(struct.calcsize(f"<{code}")))[0]

    def string(self) -> str:
        # an old tokenizer can hold a token that is cut within a character
        return self.content(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(*struct.unpack("<IQ", self.content(12)))
        if kind not in _SCALARS:
            raise file_error(self.path, f"its metadata has a value of the unknown type {kind}")
        return self.number(_SCALARS[kind])

    def _array(self, kind: int, count: int) -> list[Any]:
        if kind in _SCALARS:
            content = self.content(count * struct.calcsize(f"<{_SCALARS[kind]}"))
            return list(struct.unpack(f"<{count}{_SCALARS[kind]}", content))
        if count * _STRING_HEADER > self._size:
            raise file_error(self.path, f"its metadata has an array of {count} values")
        read: Callable[[], Any] = self.string if kind == _STRING else lambda: self.value(kind)
        return [read() for _ in range(count)]

    def end(self) -> int:
        return self._stream.tell()


def file_error(path: Path, found: str, remedy: str | None = None) -> BaseModelError:
    """Return the error for a file that is not as it has to be.

    Args:
        path: the file.
        found: what is wrong with it, as a clause.
        remedy: a sentence; None asks for another file.

    Returns:
        The error.
    """
    return BaseModelError(
        f"the base model {str(path)!r} cannot be loaded: {found}. "
        f"{remedy or 'Download or convert it again, or pass base_model= with another file.'}"
    )
