"""all-MiniLM-L6-v2 through fastembed as a worker."""

from __future__ import annotations

import os
from pathlib import Path

from fastembed import TextEmbedding

from benchmarks.peers.minilm_onnx import export
from benchmarks.workers import Requests, serve, timed

NAME = "sentence-transformers/all-MiniLM-L6-v2"


class FastembedWorker(Requests):
    """One loaded model."""

    def load(self, folder: str) -> None:
        """Load the model of a folder, exported to ONNX by the first call."""
        exported = Path(folder) / "onnx"
        if not exported.is_dir():
            export(Path(folder), exported)
        threads = int(os.environ["OMP_NUM_THREADS"])
        self.model = TextEmbedding(NAME, specific_model_path=str(exported), threads=threads)

    @timed
    def encode(self, texts: list[str], batch_size: int) -> None:
        """Embed texts in batches sorted by length, which fastembed does not do itself."""
        list(self.model.embed(sorted(texts, key=len), batch_size=batch_size))

    def vectors(self, texts: list[str]) -> list[list[float]]:
        """Return embeddings, normalised."""
        return [vector.tolist() for vector in self.model.embed(texts)]


if __name__ == "__main__":
    serve(FastembedWorker())
