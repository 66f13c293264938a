"""The projection heads on disk: each a torch pickle of one `Linear`.

A head file is `{"state_dict": {"projection.weight", "projection.bias"}, "config": {...}}`, which
`ProjectionModel.save` of the reference package writes.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm2vec_gen_rag.errors import (
    CheckpointError,
    SizeMismatchError,
    UnsafeFileError,
    UnsupportedCheckpointError,
)
from llm2vec_gen_rag.files import replacing, require_file

RECONSTRUCTION_FILE = "reconstruction_mlp"
ALIGNMENT_FILE = "alignment_mlp"
HEAD_FILES = (RECONSTRUCTION_FILE, ALIGNMENT_FILE)
_WEIGHT = "projection.weight"
_BIAS = "projection.bias"


def read_projection(path: Path) -> nn.Linear:
    """Read a head.

    Args:
        path: its file.

    Returns:
        A layer in the dtype that it is stored in, without gradient.

    Raises:
        UnsafeFileError: if the pickle holds anything but tensors and plain values.
        SizeMismatchError: if its tensors are not of the sizes it states.
        UnsupportedCheckpointError: if it is not one linear layer.
        CheckpointError: if it is missing, half-written, the other head, or holds NaN.
    """
    content = _load_plain(require_file(path))
    _require_own_name(path)
    try:
        config, state = dict(content["config"]), dict(content["state_dict"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds no state_dict and config; expected a projection head as in the "
            "published checkpoints. Download or save the checkpoint again."
        ) from error
    _require_one_linear(path, config, state)
    weight, bias = state[_WEIGHT], state[_BIAS]
    _require_sizes(path, config, weight, bias)
    require_finite(path, {_WEIGHT: weight, _BIAS: bias})
    return _linear(weight, bias)


def write_projection(path: Path, head: nn.Linear, dtype: torch.dtype) -> None:
    """Write a head as in the published checkpoints.

    Args:
        path: the file to write.
        head: the layer.
        dtype: in which to store it; float32 is stored instead if this one would round a value.
    """
    tensors = {_WEIGHT: head.weight.detach(), _BIAS: head.bias.detach()}
    stored = {name: as_stored(tensor, dtype) for name, tensor in tensors.items()}
    config = {
        "input_dim": head.in_features,
        "output_dim": head.out_features,
        "dtype": str(stored[_WEIGHT].dtype),
        "size": 1,
        "pooling_mode": "linear",
    }
    with replacing(path) as partial:
        torch.save({"state_dict": stored, "config": config}, partial)


def as_stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a CPU copy in `dtype` if that keeps every value, else in float32."""
    cast = tensor.to(dtype)
    exact = torch.equal(cast.to(torch.float32), tensor.to(torch.float32))
    return (cast if exact else tensor.to(torch.float32)).cpu().contiguous().clone()


def require_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError if a tensor of a file holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{name} in {path} holds NaN or infinity; expected finite weights. Its training "
                "diverged or the file is damaged: train it again, or download it again."
            )


def _load_plain(path: Path) -> Mapping[str, Any]:
    """Unpickle tensors and plain values; refuse anything else before it can run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeFileError(
            f"{path} is not a pickle of tensors and plain values alone, so it was refused and "
            "nothing in it was run. Do not load it by other means: get the checkpoint again from "
            "its publisher."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        raise CheckpointError(
            f"{path} is not readable as a torch file ({type(error).__name__}: {error}); it may be "
            "half-written. Download or save the checkpoint again."
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected the state_dict and config of a "
            "projection head. Download or save the checkpoint again."
        )
    return content


def _require_own_name(path: Path) -> None:
    """Raise CheckpointError if a file was saved as the other head: torch keeps its first name."""
    # sizes tell them apart only where an embedding is not as long as a hidden state
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        saved_as = archive.namelist()[0].partition("/")[0]
    if saved_as in HEAD_FILES and path.name in HEAD_FILES and saved_as != path.name:
        raise CheckpointError(
            f"{path} was saved as {saved_as}; expected {path.name}: the two heads were swapped, or "
            "one was copied over the other. Rename them, or download the checkpoint again."
        )


def _require_one_linear(path: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raise UnsupportedCheckpointError for the other heads that the reference package can write."""
    size, mode = config.get("size", 1), config.get("pooling_mode", "linear")
    tensors = all(isinstance(value, Tensor) for value in state.values())
    if size != 1 or mode != "linear" or set(state) != {_WEIGHT, _BIAS} or not tensors:
        raise UnsupportedCheckpointError(
            f"{path} is a head of size {size!r} and pooling mode {mode!r} with {sorted(state)}; "
            "supported is one linear layer (size 1, mode 'linear'), as in every published "
            "checkpoint."
        )


def _require_sizes(path: Path, config: Mapping[str, Any], weight: Tensor, bias: Tensor) -> None:
    stated = (config.get("output_dim"), config.get("input_dim"))
    if tuple(weight.shape) != stated or tuple(bias.shape) != stated[:1]:
        raise SizeMismatchError(
            f"{path} states a layer of {stated[1]} -> {stated[0]} and holds a weight of shape "
            f"{tuple(weight.shape)} and a bias of shape {tuple(bias.shape)}. Its parts come from "
            "different runs: download or save the checkpoint again."
        )


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a layer of two tensors, without initialising weights first."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer
