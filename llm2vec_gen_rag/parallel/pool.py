"""Embedding on several devices, each in a process of its own that loads the model once.

Idle processes get chunks of texts of about equal work, the longest texts first; the vectors are
returned in the order of the texts. Each process has a pipe of its own, private to the pool.
"""

from __future__ import annotations

import inspect
import os
from collections import deque
from collections.abc import Sequence
from multiprocessing import current_process
from multiprocessing.connection import wait
from os import PathLike
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from llm2vec_gen_rag.arguments import as_texts
from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.encoder import Vectors
from llm2vec_gen_rag.errors import WorkerError
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.parallel.worker import Call, Worker
from llm2vec_gen_rag.vectors.text_encoder import Texts

# at the end a process is idle for at most the time of one chunk: a sixteenth of its share
CHUNKS_PER_PROCESS = 16
# the work of an instruction and of the response tokens, in characters of text
CHARACTERS_BESIDE_TEXT = 100

DAEMON = (
    "this process is a daemon of multiprocessing, such as those of multiprocessing.Pool or Celery, "
    "and Python lets no daemon start processes; expected another. Create the pool in the main "
    "process, or in one started with daemon=False; or embed in this one with LLM2VecGen."
)


class EncoderPool:
    """One model in several processes, which embeds as `LLM2VecGen` does, on every device at once.

        with EncoderPool("almanac", devices=["cuda:0", "cuda:1"]) as pool:
            vectors = pool.encode_document(texts)

    Processes are spawned, so a script creates a pool under `if __name__ == "__main__":`. An error
    or Ctrl-C during a call closes the pool. Calls from several threads take turns. A child that is
    forked from the process that created the pool needs one of its own.

    Attributes:
        dimension: the length of a vector.
    """

    def __init__(
        self, name: str | PathLike[str], *, devices: Sequence[str | torch.device], **options: Any
    ) -> None:
        """Start a process for each device, and return once all have loaded the model.

        Args:
            name: see `LLM2VecGen.from_pretrained`.
            devices: such as ["cuda:0", "cuda:1"]; a device listed twice gets two processes. The
                processes share torch's threads of this process equally.
            **options: other arguments of `LLM2VecGen.from_pretrained`.

        Raises:
            ValueError: if there is no device; see also `LLM2VecGen.from_pretrained`.
            TypeError: if an option is none of `LLM2VecGen.from_pretrained`.
            CheckpointError: see `LLM2VecGen.from_pretrained`.
            BaseModelError: see `LLM2VecGen.from_pretrained`.
            WorkerError: if this process is a daemon, or a process ends or fails in another way.
        """
        if isinstance(devices, str) or not devices:
            raise ValueError(f"devices is {devices!r}; expected a list, such as ['cpu', 'cpu']")
        if current_process().daemon:
            raise WorkerError(DAEMON)
        inspect.signature(LLM2VecGen.from_pretrained).bind(name, device=devices[0], **options)
        threads = max(1, torch.get_num_threads() // len(devices))
        self._lock = ForkSafeLock()
        self._process_id = os.getpid()
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

        Args:
            texts: see `LLM2VecGen.encode`.
            instruction: see `LLM2VecGen.encode`.
            max_length: see `LLM2VecGen.encode`.
            normalize: see `LLM2VecGen.encode`.
            batch_size: see `LLM2VecGen.encode`.
            show_progress: see `LLM2VecGen.encode`.

        Returns:
            See `LLM2VecGen.encode`.

        Raises:
            ValueError: see `LLM2VecGen.encode`.
            NonFiniteError: see `LLM2VecGen.encode`.
            WorkerError: if a process ends or fails in another way, the pool is closed, or this is
                not the process that created it.
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
        instruction: str | None = None,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each query, preceded by an instruction.

        See `LLM2VecGen.encode_query` for arguments and shapes, and `encode` for errors.
        """
        shared = _shared(max_length, normalize, batch_size)
        call = Call("encode_query", {"task": task, "instruction": instruction, **shared})
        return self._encode(texts, call, show_progress)

    def encode_document(
        self,
        texts: Texts,
        *,
        instruction: str | None = None,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each document, preceded by an instruction.

        See `LLM2VecGen.encode_document` for arguments and shapes, and `encode` for errors.
        """
        shared = _shared(max_length, normalize, batch_size)
        call = Call("encode_document", {"instruction": instruction, **shared})
        return self._encode(texts, call, show_progress)

    def close(self) -> None:
        """End the processes, if they have not ended yet; in a forked child, do nothing."""
        if self._process_id != os.getpid():
            return
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.join()
        self._workers = []

    def __enter__(self) -> EncoderPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _encode(self, texts: Texts, call: Call, show_progress: bool) -> Vectors:
        """Run the call on the texts; close the pool if it fails."""
        listed = as_texts(texts)
        if self._process_id != os.getpid():  # the two would read each other's vectors
            raise WorkerError(
                f"this pool was created by process {self._process_id}, and this is a child forked "
                "from it; expected the same process. Create a pool after the fork."
            )
        with self._lock:
            if not self._workers:
                raise WorkerError("this pool is closed; expected an open one. Create a new one.")
            try:
                vectors = self._run(listed, call, show_progress)
            except BaseException:  # pending vectors would be taken for those of the next call
                self.close()
                raise
        return vectors[0] if isinstance(texts, str) else vectors

    def _run(self, texts: list[str], call: Call, show_progress: bool) -> Vectors:
        """Send chunks, one to each process at a time, until all vectors have been received."""
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
    """Divide texts into chunks of about equal work, the longest texts first.

    Args:
        texts: of any lengths; texts of similar length share a chunk, so that little is padded.
        count: about how many chunks.

    Returns:
        The rows of each chunk; each row is in exactly one.
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
