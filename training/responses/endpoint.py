"""The settings of the client in `chat_completions`: which server and model, how many requests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm2vec_gen_rag.arguments import require_positive


@dataclass(frozen=True)
class Endpoint:
    """A server of chat completions, and how it is asked.

    Attributes:
        url: its base URL, such as `http://localhost:8000/v1`.
        model: the model, as the server names it.
        api_key_variable: the environment variable that holds the API key; None sends none. The key
            is read when requests are sent, and never written anywhere.
        concurrency: the most requests in flight.
        timeout: seconds without a byte from the server after which a request fails.
        attempts: how often a query is sent before the run fails.
        backoff: seconds of the longest first wait between attempts; each next one may be twice as
            long, up to a minute.
        thinking_off: whether to request a chat template with `enable_thinking` off, as vLLM, SGLang
            and llama.cpp understand it, and to refuse responses that think nevertheless. Servers
            that do not know this field (OpenAI's own) need False.
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
        """Return the API key.

        Returns:
            The key; None if none is to be sent.

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
                "letters that no HTTP header may hold; expected an API key and nothing else"
            )
        return key
