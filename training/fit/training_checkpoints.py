"""Training checkpoints: what a stopped run resumes from.

    checkpoints/run.json         which run they are of
    checkpoints/checkpoint-200   trained weights, optimizer and schedule after step 200, whole
    checkpoints/writing          the next one, while it is written; never read

A training checkpoint gets its name in one step, and only then is the one before it deleted. So
there is a whole one at any moment: a kill, a full disk or a power cut costs the steps since it.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.files import read_json, storing, write_json
from llm2vec_gen_rag.training.fit.run_identity import difference

FOLDER = "checkpoints"
_PREFIX = "checkpoint-"
# what every training checkpoint has, whatever the number of processes
_FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")

KEPT = "training checkpoints written before are whole"


class TrainingCheckpoints:
    """The training checkpoints of the run that trains into a folder.

    Args:
        output_folder: of the trained model.

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
        """The training checkpoint to resume from; None if there is none."""
        steps = [_step(path) for path in self.folder.glob(f"{_PREFIX}*")]
        return self.folder / f"{_PREFIX}{max(steps)}" if steps else None

    def check(self, run: Mapping[str, Any]) -> None:
        """Raise unless the last training checkpoint, if there is one, is whole and of this run.

        Args:
            run: as `run_identity` returns it.

        Raises:
            ValueError: if it is of another run; the error says what differs.
            CheckpointError: if one of its files is missing or damaged.
        """
        if self.last is None:
            return
        if not self._run.is_file():
            raise CheckpointError(
                f"{self._run} is missing, which says of which run {self.last} is. Restore it, or "
                f"delete {self.folder} to begin anew."
            )
        if (differs := difference(read_json(self._run), run)) is not None:
            raise ValueError(
                f"{self.last} is of a run with {differs}. Run the former to its end, choose "
                f"another folder, or delete {self.folder} to begin anew."
            )
        _require_whole(self.last)

    def begin(self, run: Mapping[str, Any]) -> None:
        """Record which run this is, and delete what a stopped one left half-written.

        Args:
            run: as `run_identity` returns it.

        Raises:
            StorageError: if the folder cannot be written to.
        """
        with storing(f"training checkpoints in {self.folder}", KEPT):
            shutil.rmtree(self.writing, ignore_errors=True)
            write_json(self._run, dict(run))

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """Make what the block writes under `writing` the training checkpoint of a step.

        Args:
            step: optimizer steps taken.

        Yields:
            Nothing.

        Raises:
            StorageError: if it cannot be written; the training checkpoint before it is kept.
        """
        before = self.last
        what = f"the training checkpoint of step {step} in {self.folder}"
        with storing(what, KEPT, RuntimeError):  # torch raises it when the disk is full
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
        """Delete the training checkpoints of a finished run."""
        if self.folder.exists():
            shutil.rmtree(self.folder)


def _require_whole(checkpoint: Path) -> None:
    """Raise `CheckpointError` if a file of a training checkpoint is missing or cut short."""
    for name in _FILES:  # without the optimizer's, `Trainer` would begin with fresh moments
        if not (checkpoint / name).is_file():
            raise CheckpointError(_damaged(checkpoint / name, "it is missing"))
    for path in sorted(checkpoint.iterdir()):
        try:
            _read_through(path)
        except (ValueError, RecursionError, SafetensorError, zipfile.BadZipFile) as error:
            raise CheckpointError(_damaged(path, str(error))) from error


def _read_through(path: Path) -> None:
    """Read a file as far as it takes to notice that it was cut short."""
    if path.suffix == ".json":
        json.loads(path.read_bytes())
    elif path.suffix == ".safetensors":
        with safe_open(path, framework="pt"):
            pass
    elif path.suffix in (".pt", ".pth"):
        with zipfile.ZipFile(path) as archive:
            if (entry := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{entry} is not what was written")


def _damaged(path: Path, found: str) -> str:
    return (
        f"{path} is damaged ({found}), so the run cannot resume from this training checkpoint. "
        f"Restore the file, or delete {path.parent.parent} to begin anew."
    )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def _flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
