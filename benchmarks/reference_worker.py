"""The reference package as a worker; runs in `.venv-reference`, where this package is not."""

from __future__ import annotations

import torch
from llm2vec_gen import LLM2VecGenModel

from benchmarks.serving import peak_mib, seconds_of, serve


class ReferenceWorker:
    """One loaded model and what may be asked of it."""

    def load(self, checkpoint: str) -> float:
        """Load a checkpoint; return the seconds it took."""

        def load() -> None:
            self.model = LLM2VecGenModel.from_pretrained(checkpoint)
            self.model.model.eval()

        return seconds_of(load)

    def encode(self, texts: list[str], instruction: str, batch_size: int | None) -> float:
        """Embed texts; return the seconds it took.

        Args:
            texts: what to embed.
            instruction: put before each.
            batch_size: of batches sorted by length, the package's best arrangement, the sorting not
                timed; None makes one call of the whole list, as its README does.
        """
        texts = [instruction + text for text in texts]
        if batch_size is None:
            return seconds_of(lambda: self.model.encode(texts))
        lengths = [len(ids) for ids in self.model.tokenizer(texts)["input_ids"]]
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        starts = range(0, len(order), batch_size)
        batches = [[texts[row] for row in order[start : start + batch_size]] for start in starts]

        def encode() -> None:
            for batch in batches:
                self.model.encode(batch)

        return seconds_of(encode)

    def vectors(self, texts: list[str], instruction: str) -> list[list[float]]:
        """Return embeddings, normalised, each text alone."""
        rows = [self.model.encode([instruction + text])[0].float() for text in texts]
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1).tolist()

    def decode(self, text: str, tokens: int) -> float:
        """Read an embedding as text; return the seconds it took.

        The package's `generate` moves its input to CUDA and fails elsewhere; this is what it calls,
        in the order in which it does.
        """

        def decode() -> None:
            tokenizer, model = self.model.tokenizer, self.model.model
            _, soft_prompt = self.model.encode([text], get_recon_hidden_states=True)
            unread = tokenizer([text], return_tensors="pt")  # and yet it has to be passed
            written = model.generate(
                unread["input_ids"],
                unread["attention_mask"],
                max_new_tokens=tokens,
                decoder_inputs_embeds=soft_prompt,
            )
            tokenizer.batch_decode(written, skip_special_tokens=True)

        return seconds_of(decode)

    def peak(self) -> float:
        """Return the most memory ever resident, in MiB."""
        return peak_mib()


if __name__ == "__main__":
    worker = ReferenceWorker()
    serve(
        {
            "load": worker.load,
            "encode": worker.encode,
            "vectors": worker.vectors,
            "decode": worker.decode,
            "peak": worker.peak,
        }
    )
