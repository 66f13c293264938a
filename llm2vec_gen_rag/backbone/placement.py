"""Where a device map put the layers of an LLM: each somewhere, and in memory what has to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.facts import embedding_weight, is_tied
from llm2vec_gen_rag.errors import BaseModelError


def require_placed(backbone: PreTrainedModel, device_map: object) -> None:
    """Raise an error unless a device map names layers of the LLM, and has a device for each weight.

    Args:
        backbone: the LLM.
        device_map: a device by layer; anything else passes.

    Raises:
        BaseModelError: with the first layer that the LLM lacks, or weight that has no device.
    """
    if not isinstance(device_map, Mapping):
        return
    weights = [name for name, _ in backbone.named_parameters()]
    layers = {name for name, _ in backbone.named_modules()} | set(weights)
    advice = "Pass device_map='auto', or a map whose names are prefixes of the LLM's weights."
    for name in device_map:
        if name not in layers:
            raise BaseModelError(
                f"device_map names {name!r}, which a {type(backbone).__name__} has not; expected "
                f"layers such as {weights[0].rpartition('.')[0]!r}. {advice}"
            )
    for weight in weights:
        if not any(_covers(name, weight) for name in device_map):
            raise BaseModelError(
                f"device_map has no device for {weight!r}; expected one for every weight. {advice}"
            )


def require_in_memory(base_model: str, backbone: PreTrainedModel, device_map: object) -> None:
    """Raise an error if what has to be in memory is left on the disk.

    Args:
        base_model: its name.
        backbone: the LLM.
        device_map: that it was loaded with.

    Raises:
        BaseModelError: if the input embedding is not in memory, or if it is also the output matrix,
            and only as that on the disk, where it is not written.
    """
    embedding = embedding_weight(backbone)
    head: Any = backbone.get_output_embeddings()
    if embedding.is_meta:
        missing, why = "input embedding", "texts enter there"
    elif is_tied(backbone) and _is_on_disk(backbone, head):
        missing, why = "output matrix", "it is the input embedding, too"
    else:
        return
    raise BaseModelError(
        f"device_map={device_map!r:.80} leaves the base model {base_model!r} without its {missing} "
        f"in memory; expected a device for it, as {why}. Pass a map that puts it on 'cpu' or on a "
        "GPU."
    )


def _is_on_disk(backbone: PreTrainedModel, layer: nn.Module | None) -> bool:
    """Return whether a device map says that a layer is read from the disk for each use."""
    places: Mapping[str, Any] = getattr(backbone, "hf_device_map", {})
    names = [name for name, module in backbone.named_modules() if module is layer]
    above = [place for name in names for place in places if _covers(place, name)]
    return bool(above) and places[max(above, key=len)] == "disk"


def _covers(place: str, name: str) -> bool:
    """Return whether a name in a device map stands for a layer or weight of that name."""
    return f"{name}.".startswith(f"{place}." if place else "")
