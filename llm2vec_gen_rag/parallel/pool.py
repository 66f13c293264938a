"""Embedding on several devices, each in a process of its own that loads the model once and stays.

Texts are handed out in chunks of about equal work, the longest texts first, to whichever process is
idle; the vectors come back in the order of the texts. Processes talk over pipes of their own, which
nobody else can write to.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from os import PathLike
from types import TracebackType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from llm2vec_gen_rag.arguments import as_texts
from llm2vec_gen_rag.encoder import Vectors
from llm2vec_gen_rag.errors import WorkerError
from llm2vec_gen_rag.model import LLM2VecGen, Texts
from llm2vec_gen_rag.parallel.worker import Call, Worker

# a process that is idle at the end has waited for one chunk at most: a sixteenth of its share
CHUNKS_PER_PROCESS = 16
# what the instruction and the response tokens of a text cost, in characters of text
CHARACTERS_BESIDE_TEXT = 100


class EncoderPool:
    """One model in several processes, which embeds as `LLM2VecGen` does, on every device at once.

        with EncoderPool("almanac", devices=["cuda:0", "cuda:1"]) as pool:
            vectors = pool.encode_document(texts)

    Processes are spawned, so a script makes a pool under `if __name__ == "__main__":`. After an
    error or Ctrl-C inside a call the pool is closed. Calls from several threads take turns.

    Attributes:
        dimension: the length of a vector.
    """

    def __init__(
        self, name: str | PathLike[str], *, devices: Sequence[str | torch.device], **options: Any
    ) -> None:
        """Start a process for each device, and return once all have loaded the model.

        Args:
            name: see `LLM2VecGen.from_pretrained`.
            devices: such as ["cuda:0", "cuda:1"]; one named twice gets two processes. They divide
                the threads that torch computes with here among them.
            **options: see `LLM2VecGen.from_pretrained`, which takes them.

        Raises:
            ValueError: if there is no device; see also `LLM2VecGen.from_pretrained`.
            TypeError: if an option is none of `LLM2VecGen.from_pretrained`.
            CheckpointError: see `LLM2VecGen.from_pretrained`.
            BaseModelError: see `LLM2VecGen.from_pretrained`.
            WorkerError: if a process ends or fails in another way.
        """
        if isinstance(devices, str) or not devices:
            raise ValueError(f"devices is {devices!r}; expected a list, such as ['cpu', 'cpu']")
        inspect.signature(LLM2VecGen.from_pretrained).bind(name, device=devices[0], **options)
        threads = max(1, torch.get_num_threads() // len(devices))
        self._lock = threading.Lock()
        self._workers: list[Worker] = []
        try:
            for device in devices:
                load = {"name": name, "device": device, **options}
                self._workers.append(Worker(str(device), load, threads))
            self.dimension: int
            *_, self.dimension = [worker.receive() for worker in self._workers]
        except BaseException:
            self.close()
            raise

    def encode(
        self,
        texts: Texts,
        *,
        instruction: str = "",
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each text.

        See `LLM2VecGen.encode` for arguments and shapes.

        Raises:
            ValueError: see `LLM2VecGen.encode`.
            NonFiniteError: see `LLM2VecGen.encode`.
            WorkerError: if a process ends or fails in another way, or the pool is closed.
        """
        call = Call(
            "encode", {"instruction": instruction, **_shared(max_length, normalize, batch_size)}
        )
        return self._encode(texts, call, show_progress)

    def encode_query(
        self,
        texts: Texts,
        task: str = "retrieval",
        *,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each query, behind the instruction of its task.

        See `LLM2VecGen.encode_query` for arguments and shapes, and `encode` for errors.
        """
        call = Call("encode_query", {"task": task, **_shared(max_length, normalize, batch_size)})
        return self._encode(texts, call, show_progress)

    def encode_document(
        self,
        texts: Texts,
        *,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each document, behind the instruction of documents.

        See `LLM2VecGen.encode_document` for arguments and shapes, and `encode` for errors.
        """
        call = Call("encode_document", _shared(max_length, normalize, batch_size))
        return self._encode(texts, call, show_progress)

    def close(self) -> None:
        """End the processes; nothing happens if they have ended."""
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.join()
        self._workers = []

    def __enter__(self) -> EncoderPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _encode(self, texts: Texts, call: Call, show_progress: bool) -> Vectors:
        """Return what the call gives for the texts, and close the pool if it fails."""
        listed = as_texts(texts)
        with self._lock:
            if not self._workers:
                raise WorkerError("this pool is closed; expected an open one. Make a new one.")
            try:
                vectors = self._run(listed, call, show_progress)
            except BaseException:  # answers to chunks that nobody waits for would come next
                self.close()
                raise
        return vectors[0] if isinstance(texts, str) else vectors

    def _run(self, texts: list[str], call: Call, show_progress: bool) -> Vectors:
        """Hand out chunks, one to each process at a time, until all have come back."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        chunks = deque(plan_chunks(texts, len(self._workers) * CHUNKS_PER_PROCESS))
        idle = list(self._workers)
        busy: dict[Any, tuple[Worker, list[int]]] = {}
        with tqdm(total=len(texts), desc="Embedding", disable=not show_progress) as progress:
            while chunks or busy:
                while chunks and idle:
                    worker, rows = idle.pop(), chunks.popleft()
                    worker.send(call.on([texts[row] for row in rows]))
                    busy[worker.connection] = (worker, rows)
                for connection in wait(list(busy)):
                    worker, rows = busy.pop(connection)
                    vectors[rows] = worker.receive()
                    idle.append(worker)
                    progress.update(len(rows))
        return vectors


def plan_chunks(texts: Sequence[str], count: int) -> list[list[int]]:
    """Return rows in about as many chunks as asked for, of about equal work, the longest first.

    Args:
        texts: of any lengths; neighbours in length share a chunk, so that little is padded.
        count: of chunks.

    Returns:
        Lists of row indices; each row is in exactly one.
    """
    work = [len(text) + CHARACTERS_BESIDE_TEXT for text in texts]
    share = sum(work) / count
    chunks: list[list[int]] = []
    filled = share
    for row in sorted(range(len(texts)), key=lambda row: -work[row]):
        if filled >= share:
            chunks.append([])
            filled = 0
        chunks[-1].append(row)
        filled += work[row]
    return chunks


def _shared(max_length: int, normalize: bool, batch_size: int | None) -> dict[str, Any]:
    return {"max_length": max_length, "normalize": normalize, "batch_size": batch_size}
