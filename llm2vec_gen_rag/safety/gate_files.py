"""A gate's two files: gate.safetensors with the weights, gate.json with all else and their hash."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from llm2vec_gen_rag.errors import GateError
from llm2vec_gen_rag.files import replacing_files, storing, write_json
from llm2vec_gen_rag.safety.linear_score import Calibration, LinearScore, Vectors

FORMAT = 1

_WEIGHTS, _SETTINGS = "gate.safetensors", "gate.json"


@dataclass(frozen=True, eq=False)
class SavedGate:
    """What a gate is without its model.

    Attributes:
        fingerprint: that of the model.
        instruction: precedes each query.
        score: of embeddings, with the threshold.
    """

    fingerprint: str
    instruction: str
    score: LinearScore


def write_gate(folder: Path, saved: SavedGate) -> None:
    """Write a gate, both files or none.

    Args:
        folder: made if it does not exist.
        saved: the gate.

    Raises:
        StorageError: if it cannot be written; a gate that was there is whole.
    """
    weights = safetensors.numpy.save({"weights": saved.score.weights})
    settings = {
        "format": FORMAT,
        "fingerprint": saved.fingerprint,
        "instruction": saved.instruction,
        "intercept": saved.score.intercept,
        "threshold": saved.score.threshold,
        "calibration": asdict(saved.score.calibration),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    with (
        storing(f"the gate {folder}", "a gate that was there is whole"),
        replacing_files(folder) as partial,
    ):
        (partial / _WEIGHTS).write_bytes(weights)
        write_json(partial / _SETTINGS, settings)


def read_gate(folder: Path) -> SavedGate:
    """Read a gate.

    Args:
        folder: holds both files.

    Returns:
        The gate.

    Raises:
        GateError: if a file is missing, damaged, of another format, or not the other's.
    """
    settings = _settings(folder / _SETTINGS)
    try:
        score = LinearScore(
            weights=_weights(folder / _WEIGHTS, settings["weights_sha256"]),
            intercept=_finite(settings["intercept"]),
            threshold=_finite(settings["threshold"]),
            calibration=_calibration(settings["calibration"]),
        )
        return SavedGate(str(settings["fingerprint"]), str(settings["instruction"]), score)
    except (KeyError, TypeError, ValueError) as error:
        raise GateError(_damaged(folder / _SETTINGS, repr(error))) from error


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(_content(path))
    except (ValueError, RecursionError) as error:  # the latter if it is nested too deeply
        raise GateError(_damaged(path, str(error))) from error
    if not isinstance(settings, dict):
        raise GateError(_damaged(path, f"it holds a {type(settings).__name__}"))
    if (found := settings.get("format")) != FORMAT:
        raise GateError(
            f"{path} has the format {found!r:.40}; expected {FORMAT}. A newer version of this "
            "package may have written it: update, or calibrate the gate again."
        )
    return settings


def _weights(path: Path, digest: object) -> Vectors:
    content = _content(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise GateError(_damaged(path, f"it is not the one that {_SETTINGS} belongs to"))
    try:
        weights = safetensors.numpy.load(content)["weights"]
    except (SafetensorError, KeyError) as error:
        raise GateError(_damaged(path, repr(error))) from error
    if weights.ndim != 1 or weights.dtype != np.float32 or not np.isfinite(weights).all():
        raise GateError(
            _damaged(path, f"its weights have the shape {weights.shape} in {weights.dtype}")
        )
    return weights


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GateError(
            f"{path} cannot be read ({error.strerror or error}); expected a gate, of which "
            f"{_WEIGHTS} and {_SETTINGS} are in one folder. Check the path, or save the gate again."
        ) from error


def _finite(value: Any) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} where a finite number was expected")
    return value


def _calibration(values: Any) -> Calibration:
    if not isinstance(values, dict):
        raise TypeError(f"{values!r:.40} where the calibration was expected")
    read = {
        name: tuple(map(_finite, value)) if isinstance(value, list) else _finite(value)
        for name, value in values.items()
    }
    return Calibration(**read)  # type: ignore[arg-type]  # of other names: a TypeError


def _damaged(path: Path, why: str) -> str:
    return f"{path} is damaged ({why:.200}); expected a gate as `save` writes it. Save it again."
