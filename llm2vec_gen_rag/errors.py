"""What can go wrong, apart from bad arguments (those are `ValueError`).

LLM2VecGenError
├── CheckpointError            a folder is not a usable checkpoint in the published format
│   ├── SizeMismatchError      its parts, or it and the base model, disagree in size
│   ├── UnsafeFileError        a file would run code when read; nothing of it was run
│   └── UnsupportedCheckpointError  it is a checkpoint, of a kind this library does not compute
├── BaseModelError             the frozen LLM under a checkpoint cannot be loaded
│   └── MissingPackageError    a package that an option needs is not installed (also ImportError)
├── EndpointError              a server that was asked for responses fails or refuses
├── TeacherError               an embedding teacher cannot be loaded
├── NonFiniteError             the LLM computed NaN or infinity
├── WorkerError                a process of an `EncoderPool` failed or ended
├── StorageError               a file cannot be written; what was there before is whole
├── CollectionError            a Qdrant collection cannot be used as asked
│   └── CollectionMismatchError  it was written by another model, revision or instruction
├── GateError                  a refusal gate is missing, damaged, or of another model
├── QueryRefusedError          a refusal gate refused a query
└── MissingExtraError          an optional dependency is not installed (also an ImportError)
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


class LLM2VecGenError(Exception):
    """The root of every error that this package defines."""


class CheckpointError(LLM2VecGenError):
    """A folder is not a usable checkpoint: a file is missing, half-written, or holds nonsense."""


class SizeMismatchError(CheckpointError):
    """The parts of a checkpoint, or a checkpoint and its base model, disagree in size."""


class UnsafeFileError(CheckpointError):
    """A file holds more than plain data and was refused before anything in it could run."""


class UnsupportedCheckpointError(CheckpointError):
    """A checkpoint is intact but of a kind that this library does not compute."""


class BaseModelError(LLM2VecGenError):
    """The frozen LLM under a checkpoint cannot be found or loaded."""


class MissingPackageError(BaseModelError, ImportError):
    """A package that the base model's own config or an option of loading it needs is missing."""


class EndpointError(LLM2VecGenError):
    """A server that was asked for responses fails or refuses; earlier responses are kept."""


class TeacherError(LLM2VecGenError):
    """An embedding teacher cannot be found or loaded, or is of a kind that is not computed."""


class NonFiniteError(LLM2VecGenError):
    """The LLM computed NaN or infinity, so there is no embedding to return."""


class WorkerError(LLM2VecGenError):
    """A process of an `EncoderPool` failed or ended, which closes the pool."""


class StorageError(LLM2VecGenError):
    """A file cannot be written, as on a full disk; what was written before is whole."""


class CollectionError(LLM2VecGenError):
    """A Qdrant collection cannot be used as asked."""


class CollectionMismatchError(CollectionError):
    """A Qdrant collection was written by another model, revision or instruction."""


class GateError(LLM2VecGenError):
    """A refusal gate is missing, damaged, or was calibrated for another model."""


class QueryRefusedError(LLM2VecGenError):
    """A refusal gate refused a query.

    Attributes:
        verdict: the gate's `llm2vec_gen_rag.safety.Verdict`.
    """

    def __init__(self, verdict: Any) -> None:
        """Say by how much; the query is not in the message, as logs keep messages."""
        super().__init__(
            f"the query is refused: its score is {verdict.score:.2f}, and the gate lets through "
            f"what has at most {verdict.threshold:.2f}"
        )
        self.verdict = verdict


class MissingExtraError(LLM2VecGenError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: the extra of this package that brings it.
    """

    def __init__(self, extra: str, module: str) -> None:
        """Say which module is missing and the one command that installs it."""
        super().__init__(
            f"{module} is not installed; it comes with the extra {extra!r}. "
            f"Run: pip install 'llm2vec-gen-rag[{extra}]'",
            name=module,
        )
        self.extra = extra


def require_extra(extra: str, *modules: str) -> None:
    """Raise `MissingExtraError` for the first of `modules` that is not installed.

    A module that needs an extra calls this before it imports the extra's packages.

    Args:
        extra: the extra of this package.
        *modules: what it installs, by the names to import.

    Raises:
        MissingExtraError: with the command that installs the extra.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(extra, module)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message; the hub's messages are paragraphs long."""
    return str(error).strip().split("\n", 1)[0]
