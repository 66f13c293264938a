"""This package as a worker: loads, embeds, decodes, and times the plain matrix products."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from torch import Tensor

from benchmarks.serving import peak_mib, resident_mib, seconds_of, serve
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.cpu.prefix_cache import common_length
from llm2vec_gen_rag.text_tokenizer import answer_prompts


class OurWorker:
    """One loaded model and what may be asked of it."""

    def load(self, checkpoint: str, dtype: str | None = None) -> float:
        """Load a checkpoint; return the seconds it took."""

        def load() -> None:
            self.model = LLM2VecGen.from_pretrained(checkpoint, dtype=dtype)

        return seconds_of(load)

    def encode(self, texts: list[str], instruction: str) -> float:
        """Embed texts in one call; return the seconds it took."""
        return seconds_of(lambda: self.model.encode(texts, instruction=instruction))

    def vectors(self, texts: list[str], instruction: str) -> list[list[float]]:
        """Return embeddings, normalised."""
        return self.model.encode(texts, instruction=instruction).tolist()

    def decode(self, text: str, tokens: int) -> float:
        """Read an embedding as text; return the seconds it took."""
        return seconds_of(lambda: self.model.decode(text, max_new_tokens=tokens))

    def hyde(self, query: str, tokens: int) -> float:
        """Let the same LM write an answer with a cache, and embed it; return the seconds."""

        def answer_and_embed() -> None:
            self.model.encode_document(self.model.answer(query, max_new_tokens=tokens))

        return seconds_of(answer_and_embed)

    def hyde_by_generate(self, query: str, tokens: int) -> float:
        """As `hyde`, the answer written by the `generate` of transformers."""
        model = self.model
        (ids,) = answer_prompts(model.tokenizer, model.text_tokenizer, [query], max_length=512)
        prompt = torch.from_numpy(ids)[None]

        def answer_and_embed() -> None:
            written = model.backbone.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=tokens,
                do_sample=False,
            )
            answer = model.tokenizer.decode(written[0, len(ids) :], skip_special_tokens=True)
            model.encode_document(answer)

        return seconds_of(answer_and_embed)

    def lengths(self, texts: list[str], instruction: str) -> dict[str, Any]:
        """Return the tokens of each text, response tokens included, and how many all begin with."""
        response_tokens = len(self.model.response_tokens)
        ids = self.model.text_tokenizer.token_ids(
            [instruction + text for text in texts], max_tokens=512 - response_tokens
        )
        lengths = [len(row) + response_tokens for row in ids]
        return {"lengths": lengths, "prefix": common_length(ids)}

    def matrices(self, rows: int, repeats: int) -> float:
        """Return the median seconds of some rows through every matrix of every layer, no more."""
        layers: Any = self.model.backbone.base_model.layers
        matrices = [m for m in layers.modules() if isinstance(m, torch.nn.Linear)]
        inputs = {m.in_features: _noise(rows, m) for m in matrices}

        def multiply() -> None:
            for matrix in matrices:
                matrix(inputs[matrix.in_features])

        with torch.no_grad():
            multiply()
            return statistics.median(seconds_of(multiply) for _ in range(repeats))

    def peak(self) -> float:
        """Return the most memory ever resident, in MiB."""
        return peak_mib()

    def resident(self) -> float:
        """Return the memory resident now, in MiB."""
        return resident_mib()


def _noise(rows: int, matrix: torch.nn.Linear) -> Tensor:
    return torch.randn(rows, matrix.in_features).to(matrix.weight.dtype)


if __name__ == "__main__":
    worker = OurWorker()
    serve(
        {
            "load": worker.load,
            "encode": worker.encode,
            "vectors": worker.vectors,
            "decode": worker.decode,
            "hyde": worker.hyde,
            "hyde_by_generate": worker.hyde_by_generate,
            "lengths": worker.lengths,
            "matrices": worker.matrices,
            "peak": worker.peak,
            "resident": worker.resident,
        }
    )
