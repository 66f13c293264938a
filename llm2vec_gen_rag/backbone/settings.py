"""The settings of a config that decide what an LLM computes, whichever transformers wrote it.

Versions 4 and 5 of transformers name and place some settings differently, add some and drop some.
So two LLMs are compared in what both state, and in rotary positions, whose settings moved, by the
set of their values. Of 36 files for 31 kinds of LLM, 4.57 and 5.23 read 35 to equal settings; the
other one, of OLMo 3, they do read otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PretrainedConfig, PreTrainedModel

ROTARY = "rotary positions"
_ROTARY_WORDS = ("rope", "rotary")
# of training, of writing, of loading, or seen in the shapes of the weights
_OTHERS = (
    "dropout", "pdrop", "drop_rate", "drop_prob", "init", "loss", "token_id", "use_cache", "tie_",
    "auto_map", "dtype", "quantization", "head_dim", "architectures", "transformers_version",
)  # fmt: skip


def forward_settings(backbone: PreTrainedModel) -> dict[str, str]:
    """Return the settings that decide what an LLM computes, as JSON by their names.

    Args:
        backbone: the LLM.

    Returns:
        Such as {"rms_norm_eps": "1e-06"}. What is off is "null", be it None, False or 0; numbers
        have the six digits that a float32 keeps.
    """
    config = backbone.config.get_text_config()
    settings = {"model_type": json.dumps(config.model_type)}
    rotary: set[str] = set()
    for name, value in _leaves(config.to_dict()):
        if any(word in name for word in _ROTARY_WORDS):
            rotary.add(_plain(value))
        elif not any(word in name for word in _OTHERS):
            settings[name] = _plain(value)
    rotary -= {_plain("default"), _plain(None), _plain(1)}
    return settings | {ROTARY: ", ".join(sorted(rotary))}


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of each setting that is not one of every config."""
    shared = PretrainedConfig().to_dict().keys()
    for name, value in config.items():
        if name in shared or name.startswith("_"):
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(value: Any) -> str:
    return json.dumps(_rounded(value), default=str)


def _rounded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(f"{value:.6g}") if value else None
    return value or None
