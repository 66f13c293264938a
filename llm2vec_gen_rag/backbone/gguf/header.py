"""The GGUF format: what a file states of itself before its tensors.

"GGUF", version, counts | metadata: key, type, value | tensors: name, shape, type, offset | data

The reader of the `gguf` package makes an array of every string, which takes seconds for a
vocabulary, and follows the sizes in a damaged file wherever they lead.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from llm2vec_gen_rag.errors import BaseModelError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32  # of tensors, unless `general.alignment` states another
_STRING, _ARRAY = 8, 9
_SCALARS = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?"))) | {10: "Q", 11: "q", 12: "d"}
_MOST_DIMENSIONS = 4
# bytes that the length of a string takes
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
        BaseModelError: if it is no GGUF file, of another version or byte order, cut short or
            damaged.
    """
    fields = _Fields(stream, path, size)
    _require_version(fields)
    tensor_count, value_count = fields.number("Q"), fields.number("Q")
    metadata = _metadata(fields, value_count)
    tensors = _tensors(fields, tensor_count)
    data = _data_start(fields, metadata)
    return metadata, {
        name: replace(tensor, offset=data + tensor.offset) for name, tensor in tensors.items()
    }


def _metadata(fields: _Fields, count: int) -> dict[str, Any]:
    """Return the values by their keys."""
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = fields.string()
        if key in metadata:
            raise file_error(fields.path, f"it states {key!r:.60} twice; expected it once")
        metadata[key] = fields.value(key)
    return metadata


def _tensors(fields: _Fields, count: int) -> dict[str, StoredTensor]:
    """Return the tensors by their names, each with its offset from where they begin."""
    tensors: dict[str, StoredTensor] = {}
    for _ in range(count):
        name = fields.string()
        if name in tensors:
            raise file_error(fields.path, f"it has two tensors {name!r:.60}; expected one")
        tensors[name] = _stored(fields, name)
    return tensors


def _data_start(fields: _Fields, metadata: Mapping[str, Any]) -> int:
    """Return where the tensors begin: after all that was read, aligned."""
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    # as llama.cpp requires it; a power of 2 has one bit, which is lost in what precedes it
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise file_error(
            fields.path, f"its general.alignment is {alignment!r:.60}; expected a power of 2"
        )
    return -(-fields.end() // alignment) * alignment


def _stored(fields: _Fields, name: str) -> StoredTensor:
    """Return what is stated of a tensor after its name."""
    count = fields.number("I")
    if not 1 <= count <= _MOST_DIMENSIONS:
        raise file_error(
            fields.path,
            f"its tensor {name!r:.60} has {count} dimensions; expected 1 to {_MOST_DIMENSIONS}",
        )
    shape = tuple(fields.number("Q") for _ in range(count))[::-1]
    if 0 in shape:
        raise file_error(
            fields.path, f"its tensor {name!r:.60} has the shape {shape}; expected a value in it"
        )
    return StoredTensor(shape, fields.number("I"), fields.number("Q"))


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
    if version and version & 0xFFFF == 0:
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

    def value(self, key: str) -> Any:
        kind = self.number("I")
        if kind == _ARRAY:
            return self._array(key)
        return self.string() if kind == _STRING else self.number(self._code(key, kind))

    def _array(self, key: str) -> list[Any]:
        kind, count = self.number("I"), self.number("Q")
        if kind == _ARRAY:  # the format has them, no LLM does; Python ends where they nest deeply
            raise file_error(
                self.path,
                f"its {key!r:.60} is an array of arrays; expected one of numbers or of strings",
            )
        width = _STRING_HEADER if kind == _STRING else struct.calcsize(f"<{self._code(key, kind)}")
        if count * width > self._size:
            raise file_error(
                self.path, f"its {key!r:.60} has {count} values, more than fit into the file"
            )
        if kind == _STRING:
            return [self.string() for _ in range(count)]
        return list(struct.unpack(f"<{count}{_SCALARS[kind]}", self.content(count * width)))

    def _code(self, key: str, kind: int) -> str:
        if kind not in _SCALARS:
            raise file_error(self.path, f"its {key!r:.60} is of the unknown type {kind}")
        return _SCALARS[kind]

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


def not_readable(path: Path, error: OSError) -> str:
    """Return the message for a file that the operating system refuses to read.

    Args:
        path: the file.
        error: of the operating system.

    Returns:
        The message.
    """
    return (
        f"the base model {str(path)!r} cannot be loaded: it cannot be read "
        f"({error.strerror or error}). Fix its name or the permissions of the file, or pass "
        "base_model= with one that can be read."
    )
