"""Which frozen LLMs the layers written out here can run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.module import _has_any_global_hook
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.facts import has_full_attention
from llm2vec_gen_rag.cpu.layer import head_norm, input_matrices

_FAMILIES = (("llama", "Llama"), ("mistral", "Mistral"), ("qwen2", "Qwen2"), ("qwen3", "Qwen3"))


def _paths(kind: str) -> frozenset[str]:
    """Return where the classes of a kind are, one for each family."""
    return frozenset(
        f"transformers.models.{family}.modeling_{family}.{name}{kind}" for family, name in _FAMILIES
    )


# an embedding, layers of one form (norm, attention, residual, norm, feed-forward, residual), a norm
# and an output matrix, with no factor in between as other classes with such layers have
_CAUSAL_LMS, _MODELS, _LAYERS = map(_paths, ("ForCausalLM", "Model", "DecoderLayer"))
_INERT = "transformers.utils.output_capturing"
# rotary frequencies that depend on the length of the whole input, so that a part of it differs
_ROTARY_BY_LENGTH = {"dynamic", "longrope"}


def has_supported_layers(backbone: PreTrainedModel) -> bool:
    """Return whether the LLM is on a CPU and has layers of the one form, with full attention.

    One with hooks on anything but its matrices runs its own forward, which calls them.
    """
    model: Any = backbone.base_model
    layers = list(getattr(model, "layers", []))
    return bool(
        layers
        and _path(type(backbone)) in _CAUSAL_LMS
        and _path(type(model)) in _MODELS
        and {_path(kind) for kind in set(map(type, layers))} <= _LAYERS
        and backbone.device.type == "cpu"
        and getattr(backbone, "hf_device_map", None) is None
        and model.rotary_emb.rope_type not in _ROTARY_BY_LENGTH
        and has_full_attention(backbone)
        and not any(map(_has_hooks, _parts_not_called(backbone)))
        and not _has_any_global_hook()
    )


def has_frozen_matrices(backbone: PreTrainedModel) -> bool:
    """Return whether the gradient of a supported LLM's layers is the one written out here.

    That is so for plain `torch.nn.Linear` matrices (no int8, no wrapper) and the SiLU activation,
    as long as no weight requires gradient.
    """
    model: Any = backbone.base_model
    if any(weight.requires_grad for weight in model.parameters()):
        return False
    return backbone.config.hidden_act == "silu" and all(
        type(matrix) is nn.Linear
        for layer in model.layers
        for matrix in (*input_matrices(layer), layer.self_attn.o_proj, layer.mlp.down_proj)
    )


def _parts_not_called(backbone: PreTrainedModel) -> Iterator[nn.Module]:
    """Yield the modules whose steps are run here in place of calls of them."""
    model: Any = backbone.base_model
    yield from (backbone, model)
    for layer in model.layers:
        attention = layer.self_attn
        yield from (layer, attention, layer.mlp)
        yield from (layer.input_layernorm, layer.post_attention_layernorm)
        norms = head_norm(attention, "q"), head_norm(attention, "k")
        yield from (norm for norm in norms if norm is not None)


def _has_hooks(module: nn.Module) -> bool:
    """Return whether a call of a module does more than its forward.

    `transformers` leaves hooks of its own behind once hidden states were asked for; they do nothing
    until that is asked again.
    """
    hooks = module._forward_hooks.values()
    return bool(module._forward_pre_hooks) or any(
        getattr(hook, "__module__", None) != _INERT for hook in hooks
    )


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
