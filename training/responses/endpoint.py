"""A server of chat completions: where it is, how hard it may be pressed, what it needs as a key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm2vec_gen_rag.arguments import require_positive


@dataclass(frozen=True)
class Endpoint:
    """A server, and how hard it may be pressed.

    Attributes:
        url: its base URL, such as `http://localhost:8000/v1`.
        model: the model, by the name under which the server knows it.
        api_key_variable: the environment variable that holds the API key; None sends none. The key
            is read when requests are sent, and written nowhere.
        concurrency: requests under way at a time.
        timeout: seconds without a byte from the server after which a request has failed.
        attempts: how often a query is asked before the run gives up.
        backoff: seconds of the longest first wait; each next one may be twice as long, up to a
            minute.
        thinking_off: whether to ask, as vLLM, SGLang and llama.cpp understand it, for a chat
            template with `enable_thinking` off, and to refuse responses that think nevertheless.
            Servers that know no such field (OpenAI's own) need False.
    """

    url: str
    model: str
    api_key_variable: str | None = None
    concurrency: int = 64
    timeout: float = 600.0
    attempts: int = 10
    backoff: float = 1.0
    thinking_off: bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(
                f"{self.url!r} is not the URL of an endpoint; expected one such as "
                "http://localhost:8000/v1"
            )
        if "@" in parts.netloc:
            raise ValueError(
                "the URL of an endpoint holds a user name or a password, which errors would show; "
                "expected none: pass a key by api_key_variable"
            )
        require_positive("concurrency", self.concurrency)
        require_positive("attempts", self.attempts)

    def api_key(self) -> str | None:
        """Return the API key, if one is to be sent.

        Raises:
            ValueError: if the environment variable is not set, or holds no key.
        """
        if self.api_key_variable is None:
            return None
        if not (key := os.environ.get(self.api_key_variable)):
            raise ValueError(
                f"the environment variable {self.api_key_variable} is not set; expected the "
                f"endpoint's API key in it: export {self.api_key_variable}=..."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(
                f"the environment variable {self.api_key_variable} holds spaces, line ends or "
                "letters that no HTTP header takes; expected an API key and nothing else"
            )
        return key
