"""The reference package as a worker; runs in `.venv-reference`, where this package is not.

Its training step is that of `compute_loss` in its repository's `scripts/train.py`, with the
settings of `conf/training/llm2vec-gen.yaml`: `EncoderDecoderModel` with its own frozen causal LM to
decode, `get_teacher_embeddings` of a teacher next to it, and `compute_mse_loss`. Two things are
left out, in its favour: its collator, which tokenizes in every step, and the teacher's
bidirectional attention, which attends to twice as many tokens. The teacher is the base LLM in the
`PeftModel` that the package asks for, with its update merged.
"""

from __future__ import annotations

from pathlib import Path

import torch
from llm2vec_gen import LLM2VecGenModel
from llm2vec_gen.losses import compute_mse_loss, get_teacher_embeddings
from llm2vec_gen.models import EncoderDecoderModel
from llm2vec_gen.models.utils import safe_load_config
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoTokenizer

from benchmarks.processor import this_machine
from benchmarks.workers import Requests, serve, timed

LEARNING_RATE = 3e-4
MAX_GRADIENT_NORM = 1.0


class ReferenceWorker(Requests):
    """One loaded model, or one in training with its teacher and the batch that it trains on."""

    @timed
    def load(self, checkpoint: str) -> None:
        """Load a checkpoint, in the dtype in which this CPU multiplies fastest."""
        self.model = LLM2VecGenModel.from_pretrained(checkpoint)
        self.model.model.eval()
        _in_fastest_dtype(self.model.model)

    def dtype(self) -> str:
        """Return the dtype that the loaded model computes in."""
        return str(next(self.model.model.parameters()).dtype).removeprefix("torch.")

    def encode(self, texts: list[str], instruction: str, batch_size: int | None) -> float:
        """Embed texts in batches sorted by length, the package's best arrangement, or in one call.

        The sorting is not timed. None as the batch size is one call of the whole list, as in the
        package's README.
        """
        texts = [instruction + text for text in texts]
        if batch_size is None:
            return timed(self.model.encode)(texts)
        lengths = [len(ids) for ids in self.model.tokenizer(texts)["input_ids"]]
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        starts = range(0, len(order), batch_size)
        batches = [[texts[row] for row in order[start : start + batch_size]] for start in starts]

        @timed
        def encode() -> None:
            for batch in batches:
                self.model.encode(batch)

        return encode()

    def vectors(self, texts: list[str], instruction: str) -> list[list[float]]:
        """Return embeddings, normalised, each text alone."""
        rows = [self.model.encode([instruction + text])[0].float() for text in texts]
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1).tolist()

    @timed
    def decode(self, text: str, tokens: int) -> None:
        """Decode the embedding of a text.

        The package's `generate` moves its input to CUDA and fails elsewhere; this makes the same
        calls in the same order.
        """
        tokenizer, model = self.model.tokenizer, self.model.model
        _, soft_prompt = self.model.encode([text], get_recon_hidden_states=True)
        unread = tokenizer([text], return_tensors="pt")  # required, but not used
        written = model.generate(
            unread["input_ids"],
            unread["attention_mask"],
            max_new_tokens=tokens,
            decoder_inputs_embeds=soft_prompt,
        )
        tokenizer.batch_decode(written, skip_special_tokens=True)

    def load_for_training(self, checkpoint: str, recomputed: bool) -> None:
        """Load a checkpoint and a teacher of its backbone's size, and make the optimizer.

        `recomputed`: the backward pass computes the layers again (gradient checkpointing).
        """
        self.trainee = EncoderDecoderModel.from_pretrained(
            checkpoint, causal_lm_decoder=True, is_trainable=True
        )
        _in_fastest_dtype(self.trainee)
        self.trainee.decoder_model.requires_grad_(False)
        if recomputed:
            self.trainee.gradient_checkpointing_enable({"use_reentrant": False})
        self.trainee.train()
        self.teacher = _in_fastest_dtype(_teacher(checkpoint))
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        tokens = tokenizer.additional_special_tokens
        self.response_ids = tokenizer.convert_tokens_to_ids(tokens)
        self.trained = [weight for weight in self.trainee.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, fused=True)

    def batch(self, questions: list[list[int]], answers: list[list[int]]) -> list[list[float]]:
        """Take the batch, token ids of equal lengths; return the teacher's vectors of the answers.

        Questions come without response tokens, answers with the end token.
        """
        query = torch.tensor([[*question, *self.response_ids] for question in questions])
        answer = torch.tensor(answers)
        self.inputs = {
            "query_input_ids": query,
            "query_attention_mask": torch.ones_like(query),
            "answer_input_ids": answer,
            "answer_attention_mask": torch.ones_like(answer),
            "labels": answer,
        }
        with torch.no_grad():
            return self._teacher_vectors(torch.empty(0)).float().tolist()

    def losses(self) -> dict[str, float]:
        """Return both losses, and leave the weights as they are."""
        with torch.no_grad():
            reconstruction, alignment = self._losses()
        return {"reconstruction": reconstruction.item(), "alignment": alignment.item()}

    @timed
    def step(self) -> None:
        """Take one training step."""
        reconstruction, alignment = self._losses()
        (reconstruction + alignment).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _losses(self) -> tuple[torch.Tensor, torch.Tensor]:
        states, outputs = self.trainee(**self.inputs)
        teacher = self._teacher_vectors(states)
        alignment, _ = compute_mse_loss(states.mean(dim=1), teacher, mse_loss_weight=1.0)
        return outputs.loss, alignment

    def _teacher_vectors(self, states: torch.Tensor) -> torch.Tensor:
        """Return the teacher's vectors of the answers, of the device and dtype of `states`."""
        return get_teacher_embeddings(
            self.inputs["answer_input_ids"],
            self.inputs["answer_attention_mask"],
            self.teacher,
            student_encoder_states=states,
        )


def _in_fastest_dtype(model: torch.nn.Module) -> torch.nn.Module:
    """Return a model of bfloat16, which the package ships, in this CPU's fastest dtype.

    A CPU without instructions for bfloat16 multiplies float32 many times as fast.
    """
    native = this_machine(torch.get_num_threads()).native_bfloat16
    return model if native else model.float()


def _teacher(checkpoint: str) -> torch.nn.Module:
    base = safe_load_config(str(Path(checkpoint) / "run_config.yml"))["model_name_or_path"]
    backbone = AutoModel.from_pretrained(base, torch_dtype=torch.bfloat16)
    teacher = get_peft_model(backbone, LoraConfig(target_modules=["q_proj", "v_proj"]))
    teacher.requires_grad_(False)
    teacher.merge_adapter()
    return teacher.eval()


if __name__ == "__main__":
    serve(ReferenceWorker())
