"""What a server or a library says, without the key and the credentials that were sent to it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from httpx import Headers
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

_MASK = "<secret>"


class Mask:
    """Takes the secrets of a client out of texts and errors.

    A secret is found as it is, in any percent-encoding, in Base64 and as in JSON, in any case.

    Args:
        client: A server's client.
    """

    def __init__(self, client: QdrantClient) -> None:
        forms = sorted({f for s in _secrets(client.init_options) for f in s}, key=len, reverse=True)
        self._pattern = re.compile("|".join(forms), re.IGNORECASE) if forms else None

    def text(self, text: str) -> str:
        """Return a text with a mask for every secret."""
        return self._pattern.sub(_MASK, text) if self._pattern else text

    def cause(self, error: Exception) -> Exception | None:
        """Return an error to chain to: as it is, a masked copy, or None if it cannot be masked."""
        if not any(self.text(said) != said for said in _sayings(error)):
            return error
        if not isinstance(error, UnexpectedResponse):
            return None
        return UnexpectedResponse(
            error.status_code,
            self.text(error.reason_phrase),
            self.text(error.content.decode(errors="replace")).encode(),
            Headers([(name, self.text(value)) for name, value in error.headers.items()]),
        )


def _secrets(options: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the forms, as regular expressions, of each secret in the options of a client."""
    user, password = _credentials(options)
    for secret in (options["api_key"], password, *_tokens(options)):
        if secret:
            yield _forms(secret)
    if user:  # which may be a key, or as short as a word
        yield [rf"(?<!\w){form}(?!\w)" for form in _forms(user)]
    if user or password:
        yield [_base64(f"{user}:{password}")]


def _tokens(options: dict[str, Any]) -> list[str]:
    """Return the keys in the headers that the user's own client sends."""
    headers = {name.lower(): str(value) for name, value in (options.get("headers") or {}).items()}
    values = [headers.get(name, "").split() for name in ("authorization", "api-key")]
    return [words[-1] for words in values if words]


def _credentials(options: dict[str, Any]) -> tuple[str, str]:
    """Return user name and password, which may be in the URL of a client of the user's own."""
    if isinstance(options.get("auth"), tuple):
        user, password = options["auth"]
        return str(user), str(password)
    try:
        parts = urlsplit(str(options["url"] or options["location"] or options["host"] or ""))
    except ValueError:
        return "", ""
    return unquote(parts.username or ""), unquote(parts.password or "")


def _forms(secret: str) -> list[str]:
    quoted = (re.escape(char) + "|" + _percent(char) for char in secret)
    in_json = re.escape(json.dumps(secret)[1:-1])
    return ["".join(f"(?:{char})" for char in quoted), in_json, _base64(secret)]


def _percent(char: str) -> str:
    if char == " ":
        return r"%20|\+"
    return "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogatepass"))


def _base64(text: str) -> str:
    """Return the regular expression of a text in Base64, of either alphabet, padded or not."""
    encoded = base64.b64encode(text.encode(errors="surrogatepass")).decode().rstrip("=")
    return re.escape(encoded).replace(r"\+", "[+-]").replace("/", "[/_]")


def _sayings(error: BaseException | None) -> Iterator[str]:
    """Yield all that a traceback of an error, or a look at one, would show."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        each = pending.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            held = [*each.args, *getattr(each, "__dict__", {}).values()]
            if isinstance(each, ValidationError):  # which shows the beginning and end of a value
                held.append(each.errors(include_url=False))
            pending += [each.__cause__, each.__context__, *held]
            yield from (str(each), repr(each), *map(_shown, held))


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(list(value.multi_items())) if isinstance(value, Headers) else str(value)
