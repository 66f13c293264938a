"""Texts followed by response tokens, through the frozen LLM, to vectors.

    text + response tokens -> LLM -> h_1..h_K, the last hidden states of the last K tokens
    p_i = W_rec h_i + b_rec                    soft prompts
    e   = mean_i (W_ali p_i + b_ali)           the embedding (arXiv 2603.10913, section 3)

Where the LLM's own forward runs, rows are padded on the right. The LLM is causal, so no real token
attends to the padding that follows it: no attention mask is needed, positions count from zero in
every row, and each row is computed as if alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.backbone.facts import embedding_weight, has_full_attention
from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.backbone.lora import LowRankAdapter
from llm2vec_gen_rag.backbone.own_forward import own_states, own_states_after_text
from llm2vec_gen_rag.batching import plan_batches, run_batches, token_budget
from llm2vec_gen_rag.errors import NonFiniteError
from llm2vec_gen_rag.text_tokenizer import TokenIds, TokenizedTexts

Vectors = npt.NDArray[np.float32]
Rows = Sequence[Sequence[int] | TokenIds]


class EmbeddingModel(Protocol):
    """What the encoder reads of a model; see `LLM2VecGen` for each."""

    backbone: PreTrainedModel
    response_tokens: nn.Parameter
    compression_tokens: int
    reconstruction: nn.Linear
    alignment: nn.Linear
    adapter: LowRankAdapter | None
    prefix_cache: cpu.PrefixCache
    lock: ForkSafeLock


def embed(
    model: EmbeddingModel,
    texts: TokenizedTexts,
    *,
    normalize: bool,
    batch_size: int | None,
    show_progress: bool,
) -> Vectors:
    """Return the embedding of each text.

    Args:
        model: the model.
        texts: the texts, after their instruction.
        normalize: whether to scale each vector to length 1.
        batch_size: texts in one forward; None plans the batches by their tokens.
        show_progress: whether to show a progress bar on standard error.

    Returns:
        float32 (texts, dimension), in the order of the texts.

    Raises:
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    rows = texts.rows
    vectors = np.empty((len(rows), model.alignment.out_features), dtype=np.float32)
    # a few tokens at most, and as a rule they were read by an earlier call
    with one_forward(model, tokens=texts.instruction_tokens, forwards=0):
        prefix = read_prefix(model, texts)
    with tqdm(total=len(rows), desc="Embedding", disable=not show_progress) as progress:

        def forward(batch: list[int]) -> None:
            ids = [rows[row] for row in batch]
            with one_forward(model, tokens=tokens_of(model, ids)):
                states = last_hidden_states(model, ids, prefix)
                embeddings = project(model, require_finite_states(states))
                if normalize:
                    embeddings = F.normalize(embeddings, dim=-1)
                vectors[batch] = embeddings.cpu().numpy()
            progress.update(len(batch))

        run_batches(forward, batches(model, rows, batch_size=batch_size), rows)
    return vectors


def batches(
    model: EmbeddingModel,
    token_ids: Sequence[TokenIds],
    *,
    batch_size: int | None = None,
    new_tokens: int = 0,
) -> list[list[int]]:
    """Return the rows of each batch of texts; `new_tokens` are written after each."""
    extra, device = len(model.response_tokens) + new_tokens, model.response_tokens.device
    return plan_batches(
        [len(ids) + extra for ids in token_ids],
        token_budget=token_budget(device, writes=new_tokens > 0),
        batch_size=batch_size,
        width_step=cpu.WIDTH_STEP if device.type == "cpu" else 1,
    )


def tokens_of(model: EmbeddingModel, token_ids: Rows) -> int:
    """Return the tokens of texts, response tokens included, as one forward reads them."""
    return sum(map(len, token_ids)) + len(token_ids) * len(model.response_tokens)


def read_prefix(model: EmbeddingModel, texts: TokenizedTexts) -> cpu.Prefix | None:
    """Return the KV cache of the tokens that all texts begin with, where a forward can take it.

    It is kept from one call to the next for a frozen LLM only: low-rank updates can be trained.
    """
    forward = cpu.forward_for(model.backbone)
    if forward is None or not texts.rows:
        return None
    with lora_active(model):
        cache = model.prefix_cache if model.adapter is None else None
        return cpu.shared_prefix(forward, texts.rows, texts.instruction_tokens, cache)


def last_hidden_states(
    model: EmbeddingModel,
    token_ids: Rows,
    prefix: cpu.Prefix | None = None,
    *,
    gradient_checkpointing: bool = False,
) -> Tensor:
    """Return the last hidden states of the last K response tokens of each text.

    Under gradient, a frozen backbone reads the text without gradient and only the KV cache is kept:
    a causal LLM's states of the text do not depend on the response tokens that follow. Gradient
    reaches `model.response_tokens`, and the low-rank updates where there are some (then through the
    text too, whose states depend on them).

    Args:
        model: the model; a LoRA adapter is on during this call.
        token_ids: ids of each text, of any lengths, zero included.
        prefix: what `read_prefix` returned for texts that these are among.
        gradient_checkpointing: whether the layers written out in `cpu` save only their input; the
            LLM's own forward ignores it.

    Returns:
        (batch, K, hidden) in the dtype of the backbone.
    """
    with lora_active(model):
        if not torch.is_grad_enabled():
            return _states_without_gradient(model, token_ids, prefix)
        if model.adapter is not None or not has_full_attention(model.backbone):
            return _states_of_own_forward(model, token_ids)
        return _states_after_frozen_text(model, token_ids, gradient_checkpointing)


def _states_without_gradient(
    model: EmbeddingModel, token_ids: Rows, prefix: cpu.Prefix | None
) -> Tensor:
    """Run text and response tokens together."""
    forward = cpu.forward_for(model.backbone)
    if forward is None:
        return _states_of_own_forward(model, token_ids)
    texts = token_ids if prefix is None else [row[prefix.tokens :] for row in token_ids]
    packing = cpu.packing_of_few_sizes([len(row) + len(model.response_tokens) for row in texts])
    inputs, read_rows = _with_response_tokens(model, texts, packing)
    return forward.states(inputs, packing, read_rows, prefix or cpu.NO_PREFIX)


def _states_of_own_forward(model: EmbeddingModel, token_ids: Rows) -> Tensor:
    """Run text and response tokens together, by the LLM's own forward."""
    packing = cpu.Packing([len(row) + len(model.response_tokens) for row in token_ids])
    inputs, read_rows = _with_response_tokens(model, token_ids, packing)
    states = own_states(model.backbone, packing.pad(inputs))
    return states[torch.arange(packing.batch)[:, None], packing.positions[read_rows]]


def _states_after_frozen_text(
    model: EmbeddingModel, token_ids: Rows, gradient_checkpointing: bool
) -> Tensor:
    """Run the text without gradient, then the response tokens on its KV cache."""
    tokens = response_token_embeddings(model)
    ids, lengths = _padded(token_ids, tokens.device)
    forward = cpu.gradient_forward_for(model.backbone)
    inputs = tokens.expand(len(ids), -1, -1)
    if forward is None:
        states = own_states_after_text(model.backbone, ids, lengths, inputs)
    else:
        prefix = forward.read_prefix(ids, lengths) if ids.shape[1] else None
        states = forward.states(
            inputs, prefix=prefix, gradient_checkpointing=gradient_checkpointing
        )
    return states[:, -model.compression_tokens :]


def _with_response_tokens(
    model: EmbeddingModel, token_ids: Rows, packing: cpu.Packing
) -> tuple[Tensor, Tensor]:
    """Return input embeddings, (rows, hidden), and which rows are the last K, (batch, K).

    Args:
        model: the model.
        token_ids: ids of each text, of any lengths, zero included.
        packing: of the texts, each followed by the response tokens.
    """
    embeddings = response_token_embeddings(model)
    room = np.zeros(len(embeddings), dtype=np.int64)
    ids = np.zeros(packing.rows, dtype=np.int64)
    rows = (np.asarray(row, dtype=np.int64) for row in token_ids)  # [] alone is of floats
    tokens = np.concatenate([part for row in rows for part in (row, room)])
    ids[: len(tokens)] = tokens
    inputs = model.backbone.get_input_embeddings()(torch.from_numpy(ids).to(embeddings.device))
    ends = torch.tensor([len(row) + len(embeddings) for row in token_ids]).cumsum(0)[:, None]
    token_rows = ends + torch.arange(-len(embeddings), 0)
    inputs[token_rows] = embeddings
    return inputs, token_rows[:, -model.compression_tokens :]


def response_token_embeddings(model: EmbeddingModel) -> Tensor:
    """Return the response tokens as input embeddings of the LLM, (N, hidden)."""
    embedding = embedding_weight(model.backbone)
    return model.response_tokens.to(embedding.device, embedding.dtype)


def _padded(token_ids: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids padded on the right, (batch, longest), and the length of each row, (batch,)."""
    lengths = [len(row) for row in token_ids]
    ids = np.zeros((len(lengths), max(lengths)), dtype=np.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = token_ids[row]
    return torch.from_numpy(ids).to(device), torch.tensor(lengths, device=device)


def lora_active(model: EmbeddingModel) -> AbstractContextManager[None]:
    """Return a block inside which the low-rank updates of a checkpoint, if any, are on."""
    return nullcontext() if model.adapter is None else model.adapter.active()


def project(model: EmbeddingModel, states: Tensor) -> Tensor:
    """Return embeddings (batch, dimension) of states (batch, K, hidden), in float32.

    Both projections are linear, so the mean comes first: one row per text is projected, not K.
    """
    mean = states.to(model.reconstruction.weight.device, torch.float32).mean(dim=1)
    embeddings: Tensor = model.alignment(model.reconstruction(mean))
    return embeddings


def soft_prompts(model: EmbeddingModel, states: Tensor) -> Tensor:
    """Return soft prompts (batch, K, hidden) of states (batch, K, hidden), in float32."""
    prompts: Tensor = model.reconstruction(
        states.to(model.reconstruction.weight.device, torch.float32)
    )
    return prompts


def require_finite_states(states: Tensor) -> Tensor:
    """Return the states, or raise `NonFiniteError` if one is NaN or infinite."""
    if torch.isfinite(states).all():
        return states
    raise NonFiniteError(
        f"the LLM computed NaN or infinity in {states.dtype}; expected finite states. Its weights "
        "are damaged, or the numbers left the range of float16: pass dtype='bfloat16' or "
        "dtype='float32', or load the base model again."
    )
