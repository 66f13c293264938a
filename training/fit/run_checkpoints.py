"""The checkpoints of a run: where it goes on after it was stopped, by whatever.

    checkpoints/run.json         what the run is of
    checkpoints/checkpoint-200   trained weights, optimizer and schedule after step 200, whole
    checkpoints/writing          the next one, while it is written; never read

A checkpoint takes its place under its name in one step, and only then goes the one before it. So
there is a whole one at any moment: a kill, a full disk or a power cut costs the steps since it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.files import read_json, storing, write_json
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.objective import ROWS_READ, TokenPair

FOLDER = "checkpoints"
_PREFIX = "checkpoint-"

# what may change when a run goes on: how much memory and time a step takes, and who hears of it
FREE = {"accumulation", "gradient_checkpointing", "logging_steps", "save_steps", "report_to"}
# where an LLM was found, which may have moved: the LLM and the vectors themselves are compared
PLACES = {"base_model", "teacher_base_model"}
KEPT = "checkpoints written before are whole"


class RunCheckpoints:
    """The checkpoints of the run that trains into a folder.

    Attributes:
        folder: where they are.
        writing: where the next one is written.
    """

    def __init__(self, output_folder: Path) -> None:
        self.folder = output_folder / FOLDER
        self.writing = self.folder / "writing"
        self._run = self.folder / "run.json"

    @property
    def last(self) -> Path | None:
        """The checkpoint to go on from; None where there is none."""
        steps = [_step(path) for path in self.folder.glob(f"{_PREFIX}*")]
        return self.folder / f"{_PREFIX}{max(steps)}" if steps else None

    def check(self, run: Mapping[str, Any]) -> None:
        """Raise unless the last checkpoint, if there is one, is of this run.

        Args:
            run: what decides the result of the run, as plain data.

        Raises:
            ValueError: if it is of another; what differs is named.
        """
        if self.last is None:
            return
        if (differs := difference(read_json(self._run), run)) is not None:
            raise ValueError(
                f"{self.last} is of a run with {differs}. Run the former to its end, choose "
                f"another folder, or delete {self.folder} to begin anew."
            )

    def begin(self, run: Mapping[str, Any]) -> None:
        """Record what the run is of, and clear away what a stopped one left half-written.

        Raises:
            StorageError: if the folder cannot be written to.
        """
        with storing(f"checkpoints in {self.folder}", KEPT):
            shutil.rmtree(self.writing, ignore_errors=True)
            write_json(self._run, dict(run))

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """Take what the block writes under `writing` as the checkpoint of a step.

        Raises:
            StorageError: if it cannot be written; the checkpoint before it stays.
        """
        before = self.last
        what = f"the checkpoint of step {step} in {self.folder}"
        with storing(what, KEPT, RuntimeError):  # which torch raises of a full disk
            try:
                yield
                written = self.writing / f"{_PREFIX}{step}"
                for path in written.iterdir():
                    _flush(path)
                os.replace(written, self.folder / written.name)
            finally:
                shutil.rmtree(self.writing, ignore_errors=True)
        if before is not None and before != self.last:
            shutil.rmtree(before)

    def discard(self) -> None:
        """Delete the checkpoints of a run that came to its end."""
        if self.folder.exists():
            shutil.rmtree(self.folder)


def run_identity(
    model: LLM2VecGen,
    pairs: Sequence[TokenPair],
    teacher: npt.NDArray[np.floating],
    recipe: Recipe,
    untrained: str | None = None,
) -> dict[str, Any]:
    """Return what decides the result of a run, as plain data.

    Args:
        model: the model before the run.
        pairs: what it is trained on.
        teacher: (pairs, dimension), the teacher's vectors of the answers.
        recipe: every choice of the run.
        untrained: identifies the untrained weights; None takes a hash of them.
    """
    data = hashlib.sha256()
    for pair in pairs:
        data.update(f"{len(pair.question)},{len(pair.answer)};".encode())
        data.update(pair.question.tobytes() + pair.answer.tobytes())
    for start in range(0, len(teacher), ROWS_READ):
        data.update(np.asarray(teacher[start : start + ROWS_READ], dtype=np.float32).tobytes())
    choices = {
        name: value
        for name, value in dataclasses.asdict(recipe).items()
        if name not in FREE | PLACES
    }
    return {
        **choices,
        "responses and vectors": data.hexdigest()[:16],
        "untrained weights": untrained or model.fingerprint,
    }


def difference(found: Mapping[str, Any], run: Mapping[str, Any]) -> str | None:
    """Say in what a recorded run differs from this one; None where it is the same."""
    for name, value in json.loads(json.dumps(run)).items():
        if found.get(name) != value:
            return f"{name} {found.get(name)!r}, and this one is with {value!r}"
    return None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def _flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
