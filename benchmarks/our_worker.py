"""This package as a worker: it embeds, decodes, trains, and times plain matrix products.

What the timed programs need of the inner modules of training is imported here and nowhere else.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.workers import Requests, serve, timed
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.backbone.laying_out import REPAID_AFTER
from llm2vec_gen_rag.backbone.products import Kernel, by_onednn, has_onednn
from llm2vec_gen_rag.decoder import answer_ids
from llm2vec_gen_rag.encoder import last_hidden_states, soft_prompts
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.training_mode import training_mode
from llm2vec_gen_rag.training.objective import StepLosses, TokenPair, pair_losses

Ways = dict[str, tuple[Kernel, list[torch.Tensor]]]  # a kernel, and the matrices it multiplies by

LAYER = 7  # matrices
ENOUGH_SECONDS = 5.0  # to time one kernel

MAX_LENGTH = 512
LEARNING_RATE = 3e-4


class OurWorker(Requests):
    """One loaded model, and later its optimizer and the batch that it trains on."""

    @timed
    def load(self, checkpoint: str, dtype: str | None = None) -> None:
        """Load a checkpoint."""
        self.model = LLM2VecGen.from_pretrained(checkpoint, dtype=dtype)

    def warm_up(self) -> None:
        """Embed until the LLM's matrices lie in memory as in a process that goes on embedding."""
        for _ in range(REPAID_AFTER):
            self.model.encode("warm")

    def warm_up_writing(self) -> None:
        """Write until they lie in memory as in a process that goes on writing."""
        self.model.decode("warm", max_new_tokens=REPAID_AFTER)

    @timed
    def encode(self, texts: list[str], instruction: str) -> None:
        """Embed texts in one call."""
        self.model.encode(texts, instruction=instruction)

    @timed
    def encode_query(self, text: str) -> None:
        """Embed a query behind the model's own instruction."""
        self.model.encode_query(text)

    def vectors(self, texts: list[str], instruction: str) -> list[list[float]]:
        """Return embeddings, normalised."""
        return self.model.encode(texts, instruction=instruction).tolist()

    @timed
    def decode(self, text: str, tokens: int) -> None:
        """Decode the embedding of a text."""
        self.model.decode(text, max_new_tokens=tokens)

    @timed
    def decode_by_generate(self, text: str, tokens: int) -> None:
        """Do as `decode`, with the text written by the `generate` of transformers."""
        self.model.tokenizer.decode(self.generated_ids(text, tokens), skip_special_tokens=True)

    def generated_ids(self, text: str, tokens: int) -> list[int]:
        """Return what `generate` writes after the soft prompts of a text."""
        model = self.model
        with torch.no_grad():
            states = last_hidden_states(model, model.text_tokenizer.token_ids([text]))
            prompts = soft_prompts(model, states).to(model.backbone.dtype)
        written = model.backbone.generate(
            inputs_embeds=prompts,
            attention_mask=torch.ones(prompts.shape[:2], dtype=torch.long),
            max_new_tokens=tokens,
            do_sample=False,
        )
        return [int(token) for token in written[0]]

    @timed
    def write(self, prompt: list[int], tokens: int) -> None:
        """Continue a prompt greedily."""
        answer_ids(self.model, [np.array(prompt)], max_new_tokens=tokens)

    @timed
    def hyde(self, query: str, tokens: int) -> None:
        """Let the same LLM write an answer, with a KV cache, and embed it."""
        self.model.encode_document(self.model.answer(query, max_new_tokens=tokens))

    def hyde_by_generate(self, query: str, tokens: int) -> float:
        """Do as `hyde`, with the answer written by the `generate` of transformers."""
        model = self.model
        prompt = model.tokenizer(query, return_tensors="pt")["input_ids"]

        @timed
        def answer_and_embed() -> None:
            mask = torch.ones_like(prompt)
            written = model.backbone.generate(
                prompt, attention_mask=mask, max_new_tokens=tokens, do_sample=False
            )
            answer = written[0, prompt.shape[1] :]
            model.encode_document(model.tokenizer.decode(answer, skip_special_tokens=True))

        return answer_and_embed()

    def lengths(self, texts: list[str], instruction: str) -> dict[str, Any]:
        """Return the tokens of each text, response tokens included, and how many all start with."""
        response_tokens = len(self.model.response_tokens)
        read = self.model.tokenizer([instruction + text for text in texts])["input_ids"]
        ids = [row[: MAX_LENGTH - response_tokens] for row in read]
        shared = takewhile(lambda column: len(set(column)) == 1, zip(*ids, strict=False))
        return {
            "lengths": [len(row) + response_tokens for row in ids],
            "prefix": sum(1 for _ in shared),
        }

    def copy_matrices(self) -> None:
        """Copy the matrices of every layer, and the one that gives the logits.

        They are multiplied and read where the LLM's own must not be: a weight that is read is laid
        back. So this comes before `warm_up`.
        """
        layers: Any = self.model.backbone.base_model.layers
        found = [module for module in layers.modules() if isinstance(module, torch.nn.Linear)]
        head: Any = self.model.backbone.get_output_embeddings()
        self.copies = [matrix.weight.detach().clone() for matrix in (*found, head)]

    def matrices(self, rows: int, repeats: int) -> float:
        """Return the median seconds of some rows through the copy of every layer's matrices."""
        way: Ways = {"plain": (F.linear, self.copies[:-1])}
        return self._seconds_by_kernel(rows, repeats, way)["plain"]

    def matrices_by_kernel(self, rows: int, repeats: int) -> dict[str, float]:
        """Return the same by torch's kernel, and by those of oneDNN where torch has it.

        oneDNN multiplies plain matrices, and those in its own layout.
        """
        plain = self.copies[:-1]
        ways: Ways = {"plain": (F.linear, plain)}
        if has_onednn():
            laid_out = [torch.ops.mkldnn._reorder_linear_weight(m, rows) for m in plain]
            ways |= {"onednn": (by_onednn, plain), "laid_out": (by_onednn, laid_out)}
        return self._seconds_by_kernel(rows, repeats, ways)

    def _seconds_by_kernel(self, rows: int, repeats: int, ways: Ways) -> dict[str, float]:
        inputs = {m.shape[1]: torch.randn(rows, m.shape[1]).to(m.dtype) for m in self.copies}

        @timed
        def multiply(kernel: Kernel, weights: list[torch.Tensor]) -> None:
            for matrix in weights:
                kernel(inputs[matrix.shape[1]], matrix)

        with torch.no_grad():
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for name, (kernel, weights) in ways.items():
                multiply(kernel, weights[:LAYER])  # compiles the kernels
                while len(seconds[name]) < repeats and sum(seconds[name]) < ENOUGH_SECONDS:
                    seconds[name].append(multiply(kernel, weights))
            return {name: statistics.median(found) for name, found in seconds.items()}

    def read_weights(self, repeats: int) -> float:
        """Return the median seconds to read from memory the weights that each token needs, once."""
        # a sum in float32, whatever the dtype: on every CPU it is as fast as the memory
        weights = [weight.view(torch.float32) for weight in self.copies]

        @timed
        def read() -> None:
            for weight in weights:
                weight.sum()

        read()
        return statistics.median(read() for _ in range(repeats))

    def weight_bytes(self) -> int:
        """Return the bytes of the weights that each token needs."""
        return sum(weight.nbytes for weight in self.copies)

    def load_for_training(self, checkpoint: str) -> None:
        """Load a checkpoint, make its optimizer, and switch to training."""
        model = self.model = LLM2VecGen.from_pretrained(checkpoint)
        self.recipe = Recipe()
        self.mode = ExitStack()
        # one for all steps, as in the trainer
        self.mode.enter_context(training_mode(model, self.recipe))
        heads = torch.nn.ModuleList([model.reconstruction, model.alignment])
        self.trained = [model.response_tokens, *heads.parameters()]
        for weight in self.trained:
            weight.requires_grad_()
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, fused=True)

    def batch(
        self, questions: list[list[int]], answers: list[list[int]], teacher: list[list[float]]
    ) -> None:
        """Take the batch: token ids of questions and answers, and the teacher's vectors."""
        pairs = [
            TokenPair(np.array(question), np.array(answer))
            for question, answer in zip(questions, answers, strict=True)
        ]
        self._losses = partial(pair_losses, self.model, pairs, torch.tensor(teacher))

    def losses(self) -> dict[str, float]:
        """Return both losses, and leave the weights as they are."""
        with torch.no_grad():
            found: StepLosses = self._losses()
        return {
            "reconstruction": found.reconstruction.item(),
            "alignment": found.alignment.item(),
        }

    @timed
    def step(self) -> None:
        """Take one training step."""
        self._losses().total().backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.recipe.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


if __name__ == "__main__":
    serve(OurWorker())
