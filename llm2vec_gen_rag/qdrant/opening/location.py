"""Where a collection is: in memory, in a folder, or on a server; and a name that it can have."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from llm2vec_gen_rag.arguments import expanded_home
from llm2vec_gen_rag.errors import CollectionError

MEMORY = ":memory:"

_EXPECTED = (
    "expected ':memory:', a folder, or a URL that starts with http:// or https:// "
    "(a server on this machine: 'http://localhost:6333')"
)
# Nothing that is meant as a folder, unless it says so: "./a:b".
_NO_FOLDER = re.compile(
    r"(localhost|(\d{1,3}\.){3}\d{1,3})(/.*)?"  # a server without scheme and port
    r"|(//)?[^/\\]*[:@].*"  # a port, a URL with a slip in it, credentials, ":Memory:"
    r"|https?\W?//.*",
    re.IGNORECASE | re.DOTALL,
)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Server:
    """A Qdrant server.

    Attributes:
        url: Without user name and password.
        credentials: User name and password, if the URL has them.
    """

    url: str
    credentials: tuple[str, str] | None


def read_location(location: str | os.PathLike[str]) -> Server | Path | None:
    """Return the server or folder that a location names; None for memory.

    Args:
        location: ``":memory:"``, a server's ``http(s)://`` URL, or a folder, in which ``~`` is the
            home. A path object is always a folder.

    Returns:
        The server, the absolute path of the folder, or None.

    Raises:
        ValueError: It is none of the three, or a string that looks like another of them misspelt.
    """
    if isinstance(location, os.PathLike):
        return _folder(location.__fspath__())
    if not isinstance(location, str) or not location.strip():
        raise ValueError(f"location is {location!r:.80}; {_EXPECTED}.")
    if location == MEMORY:
        return None
    if location.lower().startswith(("http://", "https://")):
        return _server(location)
    if "://" in location or _looks_like_no_folder(location):
        raise ValueError(
            f"location is {_without_secrets(location)!r:.80}; {_EXPECTED}. Write a folder of such "
            "a name as './...', or pass a pathlib.Path."
        )
    return _folder(location)


def _looks_like_no_folder(location: str) -> bool:
    on_a_drive = bool(os.path.splitdrive(location)[0]) and not location.startswith("//")  # Windows
    return not on_a_drive and _NO_FOLDER.fullmatch(location.strip()) is not None


def _without_secrets(location: str) -> str:
    """Return what may be a misspelt URL without what may be secret in it."""
    scheme = re.match(r"[a-z]+://|", location, re.IGNORECASE)
    shown, at, rest = location.rpartition("@")
    start = scheme[0] if scheme and at else shown
    return start + re.split(r"[?#]", rest, maxsplit=1)[0]


def without_credentials(location: str) -> str:
    """Return a location for a message: a URL without user name, password, query and fragment."""
    if "://" not in location:
        return location
    scheme, rest = location.split("://", 1)
    # from the last "@" on, as a password may hold each of these characters
    return f"{scheme}://{re.split(r'[?#]', rest.rpartition('@')[2], maxsplit=1)[0]}"


def require_api_key(api_key: object) -> None:
    """Raise ValueError for a key that no HTTP header can carry; the message does not show it."""
    if not isinstance(api_key, str):
        raise ValueError(f"api_key is a {type(api_key).__name__}; expected a str, or None.")
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", api_key):
        raise ValueError(
            "api_key is empty, holds a line break or a letter outside ASCII, or has spaces around "
            "it; expected the server's key alone, such as key.strip()."
        )


def require_timeout(timeout: object) -> None:
    """Raise ValueError unless the timeout is a positive number of seconds."""
    valid = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not valid or not 0 < cast("float", timeout) < math.inf:
        raise ValueError(f"timeout is {timeout!r}; expected a positive number of seconds, or None.")


def require_collection_name(name: object) -> None:
    """Raise CollectionError for a name that Qdrant cannot give to a collection.

    Args:
        name: The name.

    Raises:
        CollectionError: It is no string, empty, too long, a path, or has characters that Qdrant
            forbids.
    """
    if isinstance(name, str) and name.strip() and name not in (".", ".."):
        found = _FORBIDDEN.search(name)
        if found is None and len(name.encode()) <= _LONGEST_NAME:
            return
    raise CollectionError(
        f"the collection's name is {name!r:.300}; expected 1 to {_LONGEST_NAME} bytes without "
        'control characters and < > : " / \\ | ? *, and not a path such as "..". Pass another '
        "name, such as 'documents'."
    )


def _folder(path: str | bytes) -> Path:
    """Return the absolute path, which stays the same when the process changes its directory."""
    if not isinstance(path, str) or "\0" in path or not _is_encodable(path):
        raise ValueError(f"location is {path!r:.80}; {_EXPECTED}.")
    expanded = expanded_home(path)
    if expanded is None:
        raise ValueError(
            f"location is {path!r:.80}, and there is no home of that user; expected a folder. "
            "Write a folder of that name as './~...'."
        )
    return Path(os.path.abspath(expanded))


def _is_encodable(path: str) -> bool:
    """Return whether a file system can hold a name: not one with a lone surrogate."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _server(url: str) -> Server:
    """Return a server; its credentials are kept apart, as the URL appears in messages."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0  # reading the port checks it
    except ValueError:
        valid = False
    if not valid or re.search(r"\s", url) or url.count("@") != parts.netloc.count("@"):
        raise ValueError(
            f"location is {without_credentials(url)!r}, which is no URL of a server; expected one "
            "such as 'http://localhost:6333', with reserved characters of user name and password "
            "as %XX."
        )
    clean = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return Server(clean, _credentials(parts))


def _credentials(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None and parts.password is None:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")
