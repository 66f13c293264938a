"""A teacher's vectors on disk: written as they are computed, read as a memory map.

160,000 vectors of 4,096 numbers are 1.3 GB in float16. Neither the writer nor the reader holds them
in memory: the file is safetensors, its header is written first and its rows are appended, one
window of texts at a time; a row is read from disk when it is accessed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from errno import EISDIR, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from llm2vec_gen_rag.files import storing

if TYPE_CHECKING:
    from llm2vec_gen_rag.teachers.protocol import Teacher

StoredVectors = npt.NDArray[np.float16] | npt.NDArray[np.float32]

DTYPES = {"float16": "F16", "float32": "F32"}  # NumPy's names and those of safetensors

# texts embedded between two writes, and at most lost when a run is stopped: enough for batches of
# nearly equal length
WINDOW = 1024


def write_teacher_vectors(
    teacher: Teacher,
    texts: Sequence[str],
    path: str | Path,
    *,
    dtype: str = "float16",
    show_progress: bool = False,
) -> None:
    """Embed the texts and store the vectors as safetensors, with hashes of texts and teacher.

    The file appears whole or not at all: until then its rows are in `NAME.unfinished`, and the same
    call resumes after the last of them. If the whole file exists already, nothing is computed.

    Args:
        teacher: what embeds the texts.
        texts: the answers, in the order in which training pairs them with queries.
        path: the file to write.
        dtype: "float16" or "float32", what the vectors are stored as.
        show_progress: show a progress bar.

    Raises:
        ValueError: if there are no texts, or the teacher returns another shape than
            (texts, teacher.dimension), or values that are not finite or that `dtype` cannot hold.
        StorageError: if the file cannot be written or the disk is full; the rows so far are kept.
    """
    if not texts:
        raise ValueError("got no texts to embed; expected at least one answer")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; expected one of {', '.join(DTYPES)}")
    path = Path(path)
    header = _header(teacher, texts, dtype)
    row_size = teacher.dimension * np.dtype(dtype).itemsize
    if _rows_after(header, path, row_size) == len(texts):
        return
    unfinished = path.with_name(path.name + ".unfinished")
    with _storing(path):
        _refuse_folder(path)
        done = _prepare(unfinished, header, row_size, rows=len(texts))
    with tqdm(total=len(texts), initial=done, disable=not show_progress, desc="Vectors") as bar:
        for start in range(done, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            vectors = _embed(teacher, window, start, dtype)
            with _storing(path):
                _append(unfinished, vectors)
            bar.update(len(window))
    with _storing(path):
        os.replace(unfinished, path)


def read_teacher_vectors(path: str | Path, texts: Sequence[str]) -> StoredVectors:
    """Return the stored vectors of exactly these texts, as a memory map.

    Rows are read from disk when they are accessed, in the dtype they are stored in; changing one
    does not change the file.

    Args:
        path: a file that `write_teacher_vectors` wrote.
        texts: the answers to be paired with the vectors, in their order.

    Returns:
        (texts, dimension), float16 or float32.

    Raises:
        ValueError: if the file is missing or unreadable, holds NaN or infinity, or is of other
            texts, of a different number of texts or of the same texts in another order.
    """
    try:
        vectors, metadata = _memory_map(Path(path))
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"cannot read teacher vectors from {path} ({error}); write them again with "
            "write_teacher_vectors"
        ) from error
    if len(vectors) != len(texts):
        raise ValueError(
            f"{path} holds {len(vectors)} vectors; expected {len(texts)}, one per answer. Write "
            "them again for these answers."
        )
    if metadata.get("texts_sha256") != texts_digest(texts):
        raise ValueError(
            f"{path} holds the vectors of other texts, or of these in another order; write them "
            "again for these answers"
        )
    for start in range(0, len(vectors), WINDOW):
        finite = np.isfinite(vectors[start : start + WINDOW]).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"vector {start + int(np.argmin(finite))} in {path} holds NaN or infinity; delete "
                "the file and write it again for these answers"
            )
    return vectors


def _header(teacher: Teacher, texts: Sequence[str], dtype: str) -> bytes:
    """Return all of a safetensors file but its numbers; the library itself writes whole tensors."""
    shape = [len(texts), teacher.dimension]
    size = len(texts) * teacher.dimension * np.dtype(dtype).itemsize
    content = {
        "__metadata__": {
            "teacher": teacher.name,
            "teacher_fingerprint": teacher.fingerprint,
            "texts_sha256": texts_digest(texts),
        },
        "vectors": {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [0, size]},
    }
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _rows_after(header: bytes, path: Path, row_size: int) -> int:
    """Return how many whole rows follow this header in a file; 0 if it begins otherwise."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return 0
    return (path.stat().st_size - len(header)) // row_size


def _refuse_folder(path: Path) -> None:
    """Raise OSError for a folder at the file's path now, not when the last row is written."""
    if path.is_dir():
        raise OSError(EISDIR, "a folder of that name is in its place")


def _prepare(unfinished: Path, header: bytes, row_size: int, *, rows: int) -> int:
    """Make the file ready for the next row, and return how many it holds."""
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    done = _rows_after(header, unfinished, row_size)
    if done:
        with unfinished.open("r+b") as file:
            file.truncate(len(header) + done * row_size)
    else:
        unfinished.write_bytes(header)
    missing, free = (rows - done) * row_size, shutil.disk_usage(unfinished.parent).free
    if missing > free:  # raised now, not hours later
        raise OSError(ENOSPC, f"{missing:,} bytes are needed and {free:,} are free")
    return done


def _embed(
    teacher: Teacher, texts: Sequence[str], first: int, dtype: str
) -> npt.NDArray[np.floating[Any]]:
    """Return the vectors of a window of texts, in the dtype they are stored in."""
    vectors = np.asarray(teacher.embed(texts))
    expected = (len(texts), teacher.dimension)
    if vectors.shape != expected:
        raise ValueError(
            f"teacher {teacher.name!r} returned shape {vectors.shape} for {len(texts)} texts; "
            f"expected {expected}"
        )
    fits = (np.abs(vectors) <= np.finfo(dtype).max).all(axis=1)
    if not fits.all():
        row = int(np.argmin(fits))
        raise ValueError(
            f"teacher {teacher.name!r} returned a value that is not finite or beyond {dtype} for "
            f"text {first + row}: {texts[row][:80]!r}"
        )
    return vectors.astype(dtype)


def _append(unfinished: Path, vectors: npt.NDArray[np.floating[Any]]) -> None:
    """Append rows and wait until they are on the disk."""
    with unfinished.open("ab") as file:
        file.write(vectors.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _storing(path: Path) -> AbstractContextManager[None]:
    """Return a context in which an error of the disk says which vectors cannot be written."""
    kept = f"those computed so far are kept in {path.name}.unfinished"
    return storing(f"the file of teacher vectors {path}", kept)


def _memory_map(path: Path) -> tuple[StoredVectors, dict[str, str]]:
    """Return the vectors of a file and its metadata, after safetensors has validated the file."""
    with safe_open(path, framework="numpy") as file:
        stored = file.get_slice("vectors")
        shape, kind, metadata = tuple(stored.get_shape()), stored.get_dtype(), file.metadata()
    dtype = next((ours for ours, theirs in DTYPES.items() if theirs == kind), None)
    if dtype is None or len(shape) != 2:
        raise ValueError(
            f"{path} holds an array of {kind} with shape {shape}; expected float16 or float32 "
            "vectors, (texts, dimension). Write them with write_teacher_vectors."
        )
    with path.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        start = json.loads(opened.read(length))["vectors"]["data_offsets"][0]
    # "c", copy-on-write: PyTorch needs writable memory, and no write reaches the file
    vectors = np.memmap(path, dtype, mode="c", offset=8 + length + start, shape=shape)
    return vectors, metadata or {}


def texts_digest(texts: Sequence[str]) -> str:
    """Return a hash of the texts and their order."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
