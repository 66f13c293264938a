"""llama.cpp as a worker: it reads the response tokens of a GGUF file by `gguf_file`, and writes.

As every token of an embedding context costs a product with the whole vocabulary, texts are read
without output, and the response tokens after them with their states as output.
"""

from __future__ import annotations

import ctypes
import os

import llama_cpp
import numpy as np

from benchmarks.peers.batches import TokenRequests
from benchmarks.workers import serve, timed

WIDTH_STEP = 256  # llama.cpp rounds a sequence's room up to this


@llama_cpp.llama_log_callback
def _quiet(level: int, text: bytes, data: object) -> None:
    """Drop what llama.cpp reports of every context; errors are return values, too."""


class LlamaWorker(TokenRequests):
    """One loaded LLM, and a context as large as the last request needed."""

    context = None
    made_for = (0, 0)

    def load(self, file: str, parts: str) -> None:
        """Load a GGUF file and the heads that `model_parts` wrote."""
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(file.encode(), settings)
        if not self.model:
            raise ValueError(f"llama.cpp cannot load {file}")
        self.hidden = llama_cpp.llama_model_n_embd(self.model)
        with np.load(parts) as stored:
            self.weight, self.bias = stored["weight"], stored["bias"]
            self.response_tokens = len(stored["response_tokens"])
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(
            llama_cpp.llama_model_get_vocab(self.model)
        )

    def encode(self, rows: list[list[int]], batch_size: int) -> float:
        """Embed token ids in batches sorted by length; the room for a batch is not timed."""
        self._make_context(min(batch_size, len(rows)), max(map(len, rows)))
        return super().encode(rows, batch_size)

    def vectors(self, rows: list[list[int]]) -> list[list[float]]:
        """Return embeddings, normalised."""
        self._make_context(len(rows), max(map(len, rows)))
        return super().vectors(rows)

    def write(self, prompt: list[int], tokens: int) -> float:
        """Continue a prompt greedily, within the LLM's own vocabulary."""
        self._make_context(1, len(prompt) + tokens)

        @timed
        def write() -> None:
            self._clear()
            self._read([prompt], [0], outputs=1)
            for position in range(len(prompt), len(prompt) + tokens):
                logits = llama_cpp.llama_get_logits_ith(self.context, -1)
                row = np.ctypeslib.as_array(logits, (self.vocabulary,))
                token = int(row[: self.vocabulary - self.response_tokens].argmax())
                self._read([[token]], [position], outputs=1)

        return write()

    def _make_context(self, sequences: int, longest: int) -> None:
        width = -(-longest // WIDTH_STEP) * WIDTH_STEP
        if self.made_for == (sequences, width):
            return
        if self.context is not None:
            llama_cpp.llama_free(self.context)
        settings = llama_cpp.llama_context_default_params()
        settings.n_seq_max = sequences
        settings.n_ctx = settings.n_batch = sequences * width
        settings.n_threads = settings.n_threads_batch = int(os.environ["OMP_NUM_THREADS"])
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        if not self.context:
            raise ValueError(f"llama.cpp makes no context of {sequences} texts of {width} tokens")
        self.made_for = (sequences, width)

    def _clear(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)

    def embed(self, rows: list[list[int]]) -> np.ndarray:
        """Return the vectors of some rows, (rows, dimension)."""
        self._clear()
        count = self.response_tokens
        texts = [row[:-count] for row in rows]
        self._read(texts, [0] * len(rows), outputs=0)
        llama_cpp.llama_set_embeddings(self.context, True)
        self._read([row[-count:] for row in rows], list(map(len, texts)), outputs=count)
        states = np.ctypeslib.as_array(
            llama_cpp.llama_get_embeddings(self.context), (len(rows), count, self.hidden)
        )
        vectors: np.ndarray = states.mean(axis=1) @ self.weight.T + self.bias
        llama_cpp.llama_set_embeddings(self.context, False)
        return vectors

    def _read(self, rows: list[list[int]], starts: list[int], outputs: int) -> None:
        """Read the next tokens of each sequence, the last ones of each with output."""
        total = sum(map(len, rows))
        batch = llama_cpp.llama_batch_init(total, 0, 1)
        batch.n_tokens = total
        index = 0
        for sequence, (row, start) in enumerate(zip(rows, starts, strict=True)):
            for place, token in enumerate(row):
                batch.token[index] = token
                batch.pos[index] = start + place
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = sequence
                batch.logits[index] = place >= len(row) - outputs
                index += 1
        code = llama_cpp.llama_decode(self.context, batch)
        llama_cpp.llama_batch_free(batch)
        if code:
            raise RuntimeError(f"llama_decode returned {code}")


if __name__ == "__main__":
    serve(LlamaWorker())
