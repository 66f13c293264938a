"""What the disk refuses, said the same way in every stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from llm2vec_gen_rag.errors import StorageError


@contextmanager
def storing(what: str, kept: str, *others: type[Exception]) -> Iterator[None]:
    """Name what could not be written, what is kept, and what to do.

    Args:
        what: what the block writes, with its path.
        kept: what is not lost, as a clause.
        others: what a writer raises for a failure of the disk, beside OSError and safetensors' own.

    Raises:
        StorageError: in place of what the block raises.
    """
    failures: tuple[type[Exception], ...] = (OSError, SafetensorError, *others)
    try:
        yield
    except failures as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{what} cannot be written ({reason}); {kept}. Make room, mend the folder's "
            "permissions or choose another folder, and run the same again."
        ) from error
