"""all-MiniLM-L6-v2 through sentence-transformers as a worker: what a vector of another kind costs.

It reads a text alone, and no more than its first 256 tokens.
"""

from __future__ import annotations

from sentence_transformers import SentenceTransformer

from benchmarks.workers import Requests, serve, timed


class MiniLMWorker(Requests):
    """One loaded model."""

    def load(self, folder: str) -> None:
        """Load the model of a folder."""
        self.model = SentenceTransformer(folder, device="cpu")

    @timed
    def encode(self, texts: list[str], batch_size: int) -> None:
        """Embed texts; the library sorts them by length."""
        self.model.encode(texts, batch_size=batch_size, show_progress_bar=False)

    def vectors(self, texts: list[str]) -> list[list[float]]:
        """Return embeddings, normalised."""
        vectors: list[list[float]] = self.model.encode(texts, show_progress_bar=False).tolist()
        return vectors


if __name__ == "__main__":
    serve(MiniLMWorker())
