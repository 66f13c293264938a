"""Check a caller's arguments before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

ALMANAC, SMOLLM2 = "almanac", "smollm2"
BUNDLED_MODELS = (ALMANAC, SMOLLM2)


def as_texts(texts: object) -> list[str]:
    """Return the texts as a list.

    Args:
        texts: a string or a sequence of strings.

    Returns:
        A list of strings: of one, if a string was passed.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, bytes) or not isinstance(texts, Sequence):
        raise ValueError(
            f"texts is {texts!r:.80} ({type(texts).__name__}); expected a string or a list of "
            "strings"
        )
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"texts[{place}] is {text!r:.80} ({type(text).__name__}); expected a string. Pass "
                "a flat list of strings, and leave out entries without text."
            )
    return list(texts)


def model_name(name: object) -> str:
    """Return the name of a model as a string that means the same.

    A path is a folder, whatever its name: `Path("almanac")` is "./almanac", as "almanac" alone is
    the bundled model, and `Path("a/b")` is "./a/b", as "a/b" alone can be a hub id.

    Args:
        name: a string or a path; a leading ~ is the home folder.

    Returns:
        The name.

    Raises:
        ValueError: if it is neither, holds NUL, or is in the home folder of an unknown user.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ValueError(
            f"the name of a model is {name!r:.80} ({type(name).__name__}); expected a hub id, a "
            f"folder, or a bundled model ({quoted_bundled_models()})"
        )
    text = _with_home("the name of a model", os.fspath(name))
    return text if isinstance(name, str) or is_path(text) else os.path.join(os.curdir, text)


def quoted_bundled_models() -> str:
    """Return the names of the bundled models, for a message."""
    return ", ".join(map(repr, BUNDLED_MODELS))


def folder_path(folder: object) -> Path:
    """Return the path of a folder that is to be written, or read.

    Args:
        folder: a string or a path; a leading ~ is the home folder.

    Returns:
        The path.

    Raises:
        ValueError: if it is neither, empty, holds NUL, or is in the home folder of an unknown user.
    """
    expected = "a path, such as 'models/mine', or '.' for the folder that the program runs in"
    return file_path("the folder", folder, expected)


def file_path(what: str, file: object, expected: str) -> Path:
    """Return the path of what is to be written, or read.

    Args:
        what: what it is, for the error.
        file: a string or a path; a leading ~ is the home folder.
        expected: what a caller may pass, for the error.

    Returns:
        The path.

    Raises:
        ValueError: if it is neither, empty, holds NUL, or is in the home folder of an unknown user.
    """
    if not isinstance(file, (str, os.PathLike)) or file == "":
        raise ValueError(f"{what} is {file!r:.80}; expected {expected}")
    return Path(_with_home(what, os.fspath(file)))


def _with_home(what: str, path: str) -> str:
    """Return a path with a leading ~ replaced by the home folder."""
    if "\0" in path:
        raise ValueError(f"{what} is {path!r:.80}; expected no NUL character, as no path has one")
    expanded = expanded_home(path)
    if expanded is None:
        raise ValueError(
            f"{what} is {path!r:.80}, and no user of that name has a home folder here; expected "
            f"'~/...' for yours. Pass {os.path.join(os.curdir, path)!r:.80} if a folder is named "
            "so."
        )
    return expanded


def expanded_home(path: str) -> str | None:
    """Return a path with a leading ~ replaced by the home folder; None if that user has none."""
    try:
        expanded = os.path.expanduser(path)
    except ValueError:  # a name that no system can write is no user's
        expanded = path
    return None if expanded.startswith("~") else expanded


def is_path(name: str) -> bool:
    """Return whether a model's name is written as a path, such as "./almanac": never a hub id."""
    return name.startswith((os.curdir, "/", "~")) or os.path.isabs(name)


def require_string(name: str, value: object) -> None:
    """Raise ValueError unless the value is a string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r:.80}; expected a string, such as '' for none")


def require_positive(name: str, value: object) -> None:
    """Raise ValueError unless the value is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected an integer of at least 1")


def text_room(max_length: int, response_tokens: int, positions: int | None) -> int:
    """Return how many tokens of a text fit before the response tokens.

    Args:
        max_length: the most tokens of both together.
        response_tokens: how many response tokens there are.
        positions: the most that the LLM can read; None if there is no such limit.

    Returns:
        At least 1.

    Raises:
        ValueError: if `max_length` is not an integer, or one of the two leaves no room.
    """
    require_positive("max_length", max_length)
    if positions is not None and positions < max_length:
        found, remedy = f"the LLM has {positions} positions", "use an LLM with more of them"
        max_length = positions
    else:
        found, remedy = f"max_length is {max_length}", f"pass at least {response_tokens + 1}"
    if max_length <= response_tokens:
        raise ValueError(
            f"{found} and the {response_tokens} response tokens take {response_tokens} of it, "
            f"which leaves no room for text; {remedy}"
        )
    return max_length - response_tokens


def writing_room(max_new_tokens: int, positions: int | None) -> tuple[int, int | None]:
    """Share an LLM's positions between a prompt and what it writes, at least half to the prompt.

    Args:
        max_new_tokens: the most tokens to write.
        positions: how many the LLM can read; None if there is no limit.

    Returns:
        The most tokens to write and the most in a prompt; None sets no limit.
    """
    if positions is None:
        return max_new_tokens, None
    written = min(max_new_tokens, positions // 2)
    return written, positions - written
