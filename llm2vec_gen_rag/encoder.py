"""Texts behind response tokens, through the frozen LLM, to vectors.

    text + response tokens -> LLM -> h_1..h_K, the last hidden states of the last K tokens
    p_i = W_rec h_i + b_rec                    soft prompts
    e   = mean_i (W_ali p_i + b_ali)           the embedding (arXiv 2603.10913, section 3)

Where the LLM runs by its own forward, rows are padded on the right. It is causal, so no real token
sees the padding behind it: no attention mask is needed, positions count from zero in every row, and
each row is as if alone.
"""

from __future__ import annotations

import threading
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

from llm2vec_gen_rag.backbone.facts import embedding_weight, padding_is_inert
from llm2vec_gen_rag.backbone.lora import LowRankAdapter
from llm2vec_gen_rag.batching import plan_batches, run_batches, token_budget
from llm2vec_gen_rag.cpu.forward import Prefix, read_states, runs_in_parts
from llm2vec_gen_rag.cpu.packing import WIDTH_STEP, Packing, packing_of_few_sizes
from llm2vec_gen_rag.cpu.prefix_cache import KnownPrefixes, shared_prefix
from llm2vec_gen_rag.errors import NonFiniteError
from llm2vec_gen_rag.text_tokenizer import TokenIds

Vectors = npt.NDArray[np.float32]


class ResponseModel(Protocol):
    """What the encoder reads of a model; see `LLM2VecGen` for each."""

    backbone: PreTrainedModel
    response_tokens: nn.Parameter
    compression_tokens: int
    reconstruction: nn.Linear
    alignment: nn.Linear
    adapter: LowRankAdapter | None
    known_prefixes: KnownPrefixes
    lock: threading.RLock


def last_hidden_states(
    model: ResponseModel,
    token_ids: Sequence[Sequence[int] | TokenIds],
    prefix: Prefix | None = None,
) -> Tensor:
    """Return the last hidden states of the last K response tokens behind each text.

    Under gradient, the text of a frozen backbone is read without and only its key-value cache is
    kept: a causal LLM's states of the text do not depend on the response tokens behind it. Gradient
    flows to `model.response_tokens`, and to the low-rank updates where there are some (then through
    the text too, whose states depend on them).

    Args:
        model: the model; a LoRA adapter is on during this call.
        token_ids: ids of each text, of any lengths, zero included.
        prefix: what `known_prefix` gave for these texts, among others.

    Returns:
        (batch, K, hidden) in the dtype of the backbone.
    """
    with lora_active(model):
        if _runs_in_parts(model):
            return _in_parts(model, token_ids, prefix)
        if torch.is_grad_enabled() and model.adapter is None and padding_is_inert(model.backbone):
            return _behind_cached_text(model, token_ids)
        return _in_one_pass(model, token_ids)


def known_prefix(
    model: ResponseModel, token_ids: Sequence[TokenIds], instruction: TokenIds
) -> Prefix | None:
    """Return what the LLM keeps of the tokens that all texts begin with, if it can run in parts.

    From one call to the next it stays for a frozen LLM alone: low-rank updates can be trained.
    """
    if not _runs_in_parts(model):
        return None
    known = model.known_prefixes if model.adapter is None else None
    with lora_active(model):
        return shared_prefix(model.backbone, token_ids, instruction, known)


def _runs_in_parts(model: ResponseModel) -> bool:
    backbone = model.backbone
    return not torch.is_grad_enabled() and padding_is_inert(backbone) and runs_in_parts(backbone)


def lora_active(model: ResponseModel) -> AbstractContextManager[None]:
    """Return a block inside which the low-rank updates of a checkpoint, if any, are on."""
    return nullcontext() if model.adapter is None else model.adapter.active()


def _in_one_pass(model: ResponseModel, token_ids: Sequence[Sequence[int] | TokenIds]) -> Tensor:
    """Run text and response tokens together, by the LLM's own forward."""
    packing = Packing([len(row) + len(model.response_tokens) for row in token_ids])
    inputs, places = _with_response_tokens(model, token_ids, packing)
    output = model.backbone.base_model(inputs_embeds=packing.spread(inputs), use_cache=False)
    states: Tensor = output.last_hidden_state
    return states[torch.arange(packing.batch)[:, None], packing.positions[places]]


def _in_parts(
    model: ResponseModel, token_ids: Sequence[Sequence[int] | TokenIds], prefix: Prefix | None
) -> Tensor:
    """Run text and response tokens together, without what is known or what nobody reads."""
    known = 0 if prefix is None else prefix.tokens
    texts = [row[known:] for row in token_ids]
    packing = packing_of_few_sizes([len(row) + len(model.response_tokens) for row in texts])
    inputs, places = _with_response_tokens(model, texts, packing)
    return read_states(model.backbone, inputs, packing, places, prefix)


def _with_response_tokens(
    model: ResponseModel, token_ids: Sequence[Sequence[int] | TokenIds], packing: Packing
) -> tuple[Tensor, Tensor]:
    """Return input embeddings, (rows, hidden), and which rows are the last K, (batch, K).

    Args:
        model: the model.
        token_ids: ids of each text, of any lengths, zero included.
        packing: how texts, with the response tokens behind each, lie one behind the other.
    """
    response = response_embeddings(model)
    room = np.zeros(len(response), dtype=np.int64)
    ids = np.zeros(packing.rows, dtype=np.int64)
    rows = (np.asarray(row, dtype=np.int64) for row in token_ids)  # [] alone is of floats
    tokens = np.concatenate([part for row in rows for part in (row, room)])
    ids[: len(tokens)] = tokens
    inputs = model.backbone.get_input_embeddings()(torch.from_numpy(ids).to(response.device))
    ends = torch.tensor([len(row) + len(response) for row in token_ids]).cumsum(0)[:, None]
    places = ends + torch.arange(-len(response), 0)
    inputs[places] = response
    return inputs, places[:, -model.compression_tokens :]


def _behind_cached_text(
    model: ResponseModel, token_ids: Sequence[Sequence[int] | TokenIds]
) -> Tensor:
    """Run the text without gradient, then the response tokens on its key-value cache."""
    response = response_embeddings(model)
    ids, lengths = padded(token_ids, response.device)
    cache = None
    if ids.shape[1]:
        with torch.no_grad():
            cache = model.backbone.base_model(ids, use_cache=True).past_key_values
    steps = torch.arange(len(response), device=ids.device)
    real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    seen = torch.cat([real, real.new_ones(len(ids), len(response))], dim=1)
    output = model.backbone.base_model(
        inputs_embeds=response.expand(len(ids), -1, -1),
        attention_mask=seen.long(),
        position_ids=lengths[:, None] + steps,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    states: Tensor = output.last_hidden_state
    return states[:, -model.compression_tokens :]


def response_embeddings(model: ResponseModel) -> Tensor:
    """Return the response tokens as the LLM takes them in, (N, hidden)."""
    embedding = embedding_weight(model.backbone)
    return model.response_tokens.to(embedding.device, embedding.dtype)


def padded(
    token_ids: Sequence[Sequence[int] | TokenIds], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return ids padded on the right, (batch, longest), and the length of each row, (batch,)."""
    lengths = [len(row) for row in token_ids]
    ids = np.zeros((len(lengths), max(lengths)), dtype=np.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = token_ids[row]
    return torch.from_numpy(ids).to(device), torch.tensor(lengths, device=device)


def project(model: ResponseModel, states: Tensor) -> Tensor:
    """Return embeddings (batch, dimension) of states (batch, K, hidden), in float32.

    Both projections are linear, so the mean comes first: one row per text goes through them in
    place of K.
    """
    mean = states.to(model.reconstruction.weight.device, torch.float32).mean(dim=1)
    embeddings: Tensor = model.alignment(model.reconstruction(mean))
    return embeddings


def soft_prompts(model: ResponseModel, states: Tensor) -> Tensor:
    """Return soft prompts (batch, K, hidden) of states (batch, K, hidden), in float32."""
    prompts: Tensor = model.reconstruction(
        states.to(model.reconstruction.weight.device, torch.float32)
    )
    return prompts


def embed(
    model: ResponseModel,
    token_ids: Sequence[TokenIds],
    instruction: TokenIds,
    *,
    normalize: bool,
    batch_size: int | None,
    show_progress: bool,
) -> Vectors:
    """Return the embedding of each text, (texts, dimension), in the order of the texts.

    Args:
        model: the model.
        token_ids: of each text, behind its instruction.
        instruction: ids of the instruction alone.
        normalize: whether to scale each vector to length 1.
        batch_size: texts in one forward; None plans the batches by their tokens.
        show_progress: whether to show a progress bar on standard error.

    Raises:
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    vectors = np.empty((len(token_ids), model.alignment.out_features), dtype=np.float32)
    with model.lock, torch.no_grad():
        prefix = known_prefix(model, token_ids, instruction)
    with tqdm(total=len(token_ids), desc="Embedding", disable=not show_progress) as progress:

        def forward(rows: list[int]) -> None:
            with model.lock, torch.no_grad():
                states = last_hidden_states(model, [token_ids[row] for row in rows], prefix)
                embeddings = project(model, require_finite_states(states))
                if normalize:
                    embeddings = F.normalize(embeddings, dim=-1)
                vectors[rows] = embeddings.cpu().numpy()
            progress.update(len(rows))

        run_batches(forward, batches(model, token_ids, batch_size=batch_size), token_ids)
    return vectors


def batches(
    model: ResponseModel,
    token_ids: Sequence[TokenIds],
    *,
    batch_size: int | None = None,
    new_tokens: int = 0,
) -> list[list[int]]:
    """Return the rows of each batch of texts; `new_tokens` are written behind each."""
    extra, device = len(model.response_tokens) + new_tokens, model.response_tokens.device
    return plan_batches(
        [len(ids) + extra for ids in token_ids],
        token_budget=token_budget(device, writes=new_tokens > 0),
        batch_size=batch_size,
        width_step=WIDTH_STEP if device.type == "cpu" else 1,
    )


def require_finite_states(states: Tensor) -> Tensor:
    """Return the states, or raise `NonFiniteError` if one is NaN or infinite."""
    if torch.isfinite(states).all():
        return states
    raise NonFiniteError(
        f"the LLM computed NaN or infinity in {states.dtype}; expected finite states. Its weights "
        "are damaged, or the numbers left the range of float16: pass dtype='bfloat16' or "
        "dtype='float32', or load the base model again."
    )
