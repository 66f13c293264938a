"""The reference package's training step as a worker; runs in `.venv-reference`.

The step is that of `compute_loss` in its repository's `scripts/train.py`, with the settings of
`conf/training/llm2vec-gen.yaml`: its `EncoderDecoderModel` with a frozen causal LM of its own to
decode, its `get_teacher_embeddings` of a teacher beside it, and its `compute_mse_loss`. Left out,
in its favour, are its collator, which tokenizes in every step, and the teacher's bidirectional
attention, which looks at twice as much: the teacher is the base LLM, in the `PeftModel` that the
package asks for, its update merged.
"""

from __future__ import annotations

from pathlib import Path

import torch
from llm2vec_gen.losses import compute_mse_loss, get_teacher_embeddings
from llm2vec_gen.models import EncoderDecoderModel
from llm2vec_gen.models.utils import safe_load_config
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoTokenizer

from benchmarks.serving import peak_mib, seconds_of, serve

LEARNING_RATE = 3e-4
MAX_GRADIENT_NORM = 1.0


class ReferenceTrainingWorker:
    """One model in training, its teacher, and the batch that it trains on."""

    def load(self, checkpoint: str, recomputed: bool) -> None:
        """Load a checkpoint and a teacher of its backbone's size, and make the optimizer.

        Args:
            checkpoint: a folder in the published format.
            recomputed: whether layers compute again on the way back (gradient checkpointing).
        """
        self.model = EncoderDecoderModel.from_pretrained(
            checkpoint, causal_lm_decoder=True, is_trainable=True
        )
        self.model.decoder_model.requires_grad_(False)
        if recomputed:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.model.train()
        self.teacher = _teacher(checkpoint)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        tokens = tokenizer.additional_special_tokens
        self.response_ids = tokenizer.convert_tokens_to_ids(tokens)
        self.trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, fused=True)

    def batch(self, questions: list[list[int]], answers: list[list[int]]) -> list[list[float]]:
        """Take the batch, token ids of equal lengths; return the teacher's vectors of the answers.

        Args:
            questions: without response tokens.
            answers: with the end token.
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
            return self._teacher_vectors().float().tolist()

    def losses(self) -> dict[str, float]:
        """Return both losses, and leave the weights as they are."""
        with torch.no_grad():
            reconstruction, alignment = self._losses()
        return {"reconstruction": reconstruction.item(), "alignment": alignment.item()}

    def steps(self, count: int) -> float:
        """Make some steps; return the seconds they took."""
        return seconds_of(lambda: [self._step() for _ in range(count)])

    def peak(self) -> float:
        """Return the most memory ever resident, in MiB."""
        return peak_mib()

    def _step(self) -> None:
        reconstruction, alignment = self._losses()
        (reconstruction + alignment).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _losses(self) -> tuple[torch.Tensor, torch.Tensor]:
        states, outputs = self.model(**self.inputs)
        teacher = self._teacher_vectors(states)
        alignment, _ = compute_mse_loss(states.mean(dim=1), teacher, mse_loss_weight=1.0)
        return outputs.loss, alignment

    def _teacher_vectors(self, states: torch.Tensor | None = None) -> torch.Tensor:
        states = torch.empty(0) if states is None else states  # tells device and dtype alone
        return get_teacher_embeddings(
            self.inputs["answer_input_ids"],
            self.inputs["answer_attention_mask"],
            self.teacher,
            student_encoder_states=states,
        )


def _teacher(checkpoint: str) -> torch.nn.Module:
    base = safe_load_config(str(Path(checkpoint) / "run_config.yml"))["model_name_or_path"]
    backbone = AutoModel.from_pretrained(base, torch_dtype=torch.bfloat16)
    teacher = get_peft_model(backbone, LoraConfig(target_modules=["q_proj", "v_proj"]))
    teacher.requires_grad_(False)
    teacher.merge_adapter()
    return teacher.eval()


if __name__ == "__main__":
    worker = ReferenceTrainingWorker()
    serve(
        {
            "load": worker.load,
            "batch": worker.batch,
            "losses": worker.losses,
            "steps": worker.steps,
            "peak": worker.peak,
        }
    )
