"""`encoder/`: the response tokens, and LoRA where a checkpoint has it, in the PEFT format.

The reference package writes two kinds: TRAINABLE_TOKENS, and LORA with trained tokens. In both, the
rows of `...trainable_tokens_delta` are the response tokens' embeddings themselves. Full copies of
the embedding matrix beside it are not read: all that the delta leaves of them is the base model's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from llm2vec_gen_rag.backbone.lora import LowRankUpdate
from llm2vec_gen_rag.checkpoint.heads import as_stored, require_finite
from llm2vec_gen_rag.errors import CheckpointError, SizeMismatchError, UnsupportedCheckpointError
from llm2vec_gen_rag.files import read_json, replacing, require_file, write_json

PREFIX = "base_model.model."
DELTA = "trainable_tokens_delta"
_LORA = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")

# options of LoRA that change what is computed, and the value with which they do not
PLAIN_LORA: Mapping[str, Any] = {
    "use_dora": False,
    "use_qalora": False,
    "lora_bias": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "modules_to_save": None,
    "target_parameters": None,
    "layer_replication": None,
    "alora_invocation_tokens": None,
    "arrow_config": None,
}


@dataclass(frozen=True)
class AdapterLayout:
    """How the tensors of an adapter are laid out in its files: all that is needed to save it again.

    Attributes:
        config: `adapter_config.json`.
        rows: for each response token, in the order in which they are read, its row in the delta.
        delta: name of the delta.
        copies: file by name of each full copy of the embedding matrix.
        dtypes: stored dtype by tensor name.
    """

    config: dict[str, Any]
    rows: tuple[int, ...]
    delta: str
    copies: Mapping[str, Path] = field(default_factory=dict)
    dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)


@dataclass(frozen=True)
class AdapterWeights:
    """What an adapter holds.

    Attributes:
        response_tokens: (response tokens, hidden), in the order in which they are read.
        updates: low-rank update by path of its layer; empty without LoRA.
    """

    response_tokens: Tensor
    updates: Mapping[str, LowRankUpdate]


def read_adapter(encoder: Path, token_ids: Sequence[int]) -> tuple[AdapterLayout, AdapterWeights]:
    """Read `encoder/`.

    Args:
        encoder: the folder.
        token_ids: the tokenizer's id of each response token, in the order in which they are read.

    Returns:
        The layout, with which `write_adapter` writes the same files again, and the weights.

    Raises:
        UnsupportedCheckpointError: if it is another kind of adapter, or holds other tensors.
        SizeMismatchError: if it does not hold exactly these response tokens.
        CheckpointError: if a file is missing, half-written, or holds NaN.
    """
    config = read_json(encoder / "adapter_config.json")
    _require_supported(encoder / "adapter_config.json", config)
    path = require_file(encoder / "adapter_model.safetensors")
    tensors, copies = _read_tensors(path)
    require_finite(path, tensors)
    delta = next(name for name in tensors if name.endswith(DELTA))
    rows = _rows(path, config, token_ids, len(tensors[delta]))
    layout = AdapterLayout(
        config=config,
        rows=rows,
        delta=delta,
        copies=dict.fromkeys(copies, path),
        dtypes={name: tensor.dtype for name, tensor in tensors.items()},
    )
    return layout, AdapterWeights(tensors[delta][list(rows)], _updates(path, config, tensors))


def write_adapter(encoder: Path, layout: AdapterLayout, weights: AdapterWeights) -> None:
    """Write `encoder/`.

    Args:
        encoder: the folder.
        layout: the tensors' names, rows and dtypes.
        weights: response tokens and low-rank updates.

    Raises:
        CheckpointError: if a file that a copy of the embedding matrix comes from is gone.
    """
    tensors = {name: _read_copy(file, name) for name, file in layout.copies.items()}
    delta = torch.empty_like(weights.response_tokens)
    delta[list(layout.rows)] = weights.response_tokens.detach()
    tensors[layout.delta] = _stored(layout, layout.delta, delta)
    for path, update in weights.updates.items():
        for letter, matrix in (("A", update.down), ("B", update.up)):
            name = f"{PREFIX}{path}.lora_{letter}.weight"
            tensors[name] = _stored(layout, name, matrix.detach())
    write_json(encoder / "adapter_config.json", layout.config)
    with replacing(encoder / "adapter_model.safetensors") as partial:
        save_file(tensors, partial, metadata={"format": "pt"})


def _require_supported(path: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    changed = {k: config[k] for k, plain in PLAIN_LORA.items() if config.get(k, plain) != plain}
    if kind == "LORA" and any(changed.values()):
        what = f"LORA with {changed}"
    elif kind not in ("LORA", "TRAINABLE_TOKENS"):
        what = repr(kind)
    else:
        return
    raise UnsupportedCheckpointError(
        f"{path} describes a PEFT adapter of type {what}; supported are TRAINABLE_TOKENS, and "
        "plain LORA with trainable_token_indices. Merge the adapter into the base model with PEFT, "
        "or use another checkpoint."
    )


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return every tensor but the copies of the embedding matrix, and those copies' names."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            copies = _embedding_copies(path, names)
            return {name: file.get_tensor(name) for name in names if name not in copies}, copies
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not readable as safetensors ({error}); it may be half-written. Download or "
            "save the checkpoint again."
        ) from error


def _embedding_copies(path: Path, names: Sequence[str]) -> list[str]:
    """Return the names of full embedding matrices, after refusing names that are not understood."""
    deltas = [name for name in names if name.endswith(DELTA)]
    if len(deltas) != 1:
        raise CheckpointError(
            f"{path} holds {len(deltas)} tensors named *{DELTA}; expected one, with a row for "
            "each response token. This adapter was not trained by LLM2Vec-Gen, or is incomplete."
        )
    embedding = deltas[0].removesuffix(DELTA).removesuffix("token_adapter.")
    copies = [n for n in names if n.startswith(embedding) and n.endswith("weight")]
    known = {*deltas, *copies, *(n for n in names if _LORA.fullmatch(n))}
    unknown = sorted(set(names) - known)
    if unknown:
        raise UnsupportedCheckpointError(
            f"{path} holds {unknown[:3]} (of {len(unknown)} tensors that are neither response "
            "tokens nor LoRA); supported are TRAINABLE_TOKENS and plain LORA of linear layers. "
            "Merge the adapter into the base model with PEFT, or use another checkpoint."
        )
    return copies


def _rows(
    path: Path, config: Mapping[str, Any], token_ids: Sequence[int], found: int
) -> tuple[int, ...]:
    """Return the row of each response token; the config has the token id of each row."""
    indices = config.get("token_indices") or config.get("trainable_token_indices")
    if isinstance(indices, Mapping):  # LORA: by embedding layer, of which there is one
        indices = next(iter(indices.values()), None)
    listed = indices if isinstance(indices, list) else []
    if sorted(listed) != sorted(token_ids) or len(listed) != found:
        raise SizeMismatchError(
            f"{path} holds {found} rows for the token ids {indices}, and the tokenizer and "
            f"run_config.yml have {len(token_ids)} response tokens with the ids {list(token_ids)}; "
            "expected one row for each. The files come from different runs: download or save the "
            "checkpoint again."
        )
    return tuple(listed.index(token) for token in token_ids)


def _updates(
    path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> dict[str, LowRankUpdate]:
    matches = [match for name in tensors if (match := _LORA.fullmatch(name))]
    layers = sorted({match[1] for match in matches})
    if config["peft_type"] == "LORA" and not layers:
        raise CheckpointError(
            f"{path} is a LORA adapter without a lora_A in it; it may be half-written. Download or "
            "save the checkpoint again."
        )
    updates = {}
    for layer in layers:
        names = [f"{PREFIX}{layer}.lora_{letter}.weight" for letter in "AB"]
        missing = [name for name in names if name not in tensors]
        if missing:
            raise CheckpointError(f"{path} lacks {missing[0]}; it may be half-written.")
        down, up = (nn.Parameter(tensors[name].float(), requires_grad=False) for name in names)
        updates[layer] = LowRankUpdate(down, up, _scaling(config, layer))
    return updates


def _scaling(config: Mapping[str, Any], layer: str) -> float:
    """Return alpha / rank of a layer, or alpha / sqrt(rank) for rank-stabilised LoRA."""
    rank = _by_pattern(config.get("rank_pattern"), layer, config["r"])
    alpha = _by_pattern(config.get("alpha_pattern"), layer, config["lora_alpha"])
    return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _by_pattern(pattern: Mapping[str, Any] | None, layer: str, default: Any) -> Any:
    """Return the first value whose key ends the layer's path, as PEFT looks it up."""
    for key, value in (pattern or {}).items():
        if re.fullmatch(rf"(.*\.)?({key})", layer):
            return value
    return default


def _stored(layout: AdapterLayout, name: str, tensor: Tensor) -> Tensor:
    return as_stored(tensor, layout.dtypes.get(name, torch.float32))


def _read_copy(path: Path, name: str) -> Tensor:
    try:
        with safe_open(require_file(path), framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor.clone()
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} no longer holds {name}, which saving copies from it: {error}"
        ) from error
