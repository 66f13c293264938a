"""Calls of a Qdrant server: repeated where that is safe, and what it answers as our errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
from grpc import RpcError  # type: ignore[import-untyped]
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from llm2vec_gen_rag.errors import CollectionError, first_line
from llm2vec_gen_rag.qdrant.opening.answers import mismatch
from llm2vec_gen_rag.qdrant.opening.location import without_credentials
from llm2vec_gen_rag.qdrant.opening.masking import Mask

_FAILURES = (ApiException, QdrantException, RpcError)
# An answer without a result, and one that is no JSON; a caller's mistakes raise them, too.
_UNREADABLE = (AssertionError, AttributeError, ValueError, RecursionError)
# Reads, and writes that leave the same points however often they arrive.
_REPEATABLE = {
    "batch_update_points",
    "collection_exists",
    "count",
    "create_payload_index",
    "delete",
    "facet",
    "get_collection",
    "get_collections",
    "query_batch_points",
    "query_points",
    "retrieve",
    "scroll",
    "upsert",
}
_PAUSES = (0.2, 1.0)  # seconds before the second and the third try
_LONGEST_PAUSE = 10  # seconds that a server may ask to wait
_TRANSIENT = {429, 500, 502, 503, 504}
_ERROR_CHARACTERS = 200

_ADVICE = {
    401: "Pass the server's key as api_key=.",
    403: "Pass a key that may do this as api_key=.",
    404: "The collection was deleted, or the URL is not that of a Qdrant server: check both.",
    409: "Something else changes the collection at the same time: repeat the call.",
    413: "Index with a smaller batch_size.",
    429: "It has too much to do: repeat the call later.",
}
_READ_LOG = "Its own log says why; repeat the call once it works."
_CHECK_URL = "Check the URL, and that Qdrant 1.16 or newer answers there."


def ask(client: QdrantClient, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of a server's client, up to three times where that is safe.

    Args:
        client: The client.
        call: Its method.
        *args: Of the method.
        **kwargs: Of the method.

    Returns:
        What the method returns.

    Raises:
        CollectionError: There is no answer, or one that refuses, cannot be read or does not fit.
    """
    pauses = iter(_PAUSES if call.__name__ in _REPEATABLE else ())
    while True:
        try:
            answer = call(*args, **kwargs)
            break
        except _FAILURES as error:
            failure: Exception = error
        except _UNREADABLE as error:
            if not _is_about_the_answer(error):
                raise
            failure = error
        pause = _pause(failure, next(pauses, None))
        if pause is None:
            mask = Mask(client)
            cause = mask.cause(failure)
            raise CollectionError(_message(client, cause or failure, mask)) from cause
        time.sleep(pause)
    wrong = mismatch(call, args, kwargs, answer)
    if wrong is not None:
        raise CollectionError(_foreign(_server(client), wrong))
    return answer


def _is_about_the_answer(error: BaseException) -> bool:
    """Return whether an error was raised where qdrant-client reads an answer."""
    modules = []
    trace = error.__traceback__
    while trace is not None:
        modules.append(trace.tb_frame.f_globals.get("__name__"))
        trace = trace.tb_next
    reading = "qdrant_client.http.api_client"
    return reading in modules or (
        modules[-1] == "qdrant_client.qdrant_remote"
        and isinstance(error, (AssertionError, AttributeError))
    )


def _pause(error: Exception, pause: float | None) -> float | None:
    """Return how long to wait before the next try; None if there is no point or no try left."""
    if pause is None:
        return None
    if isinstance(error, ResourceExhaustedResponse):
        asked: int = error.retry_after_s
        return max(pause, asked) if asked <= _LONGEST_PAUSE else None
    if isinstance(error, UnexpectedResponse):
        return pause if error.status_code in _TRANSIENT else None
    if isinstance(error, ResponseHandlingException):
        return pause if isinstance(error.source, httpx.TransportError) else None
    return None


def _message(client: QdrantClient, error: Exception, mask: Mask) -> str:
    """Return what happened, what was expected and what to do, without the client's secrets."""
    server = _server(client)
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, UnexpectedResponse):
        return _refusal(server, source, mask)
    if isinstance(source, ResourceExhaustedResponse):
        return (
            f"the Qdrant server at {server} answered 429 (too many requests) and asks to wait "
            f"{source.retry_after_s} seconds. {_ADVICE[429]}"
        )
    if isinstance(source, (httpx.TransportError, RpcError)):
        said = mask.text(first_line(source)) or type(source).__name__
        return _no_answer(server, source, said, client.init_options["timeout"])
    return _foreign(server, mask.text(_mistake(source)))


def _server(client: QdrantClient) -> str:
    options = client.init_options
    given = options["url"] or options["location"] or options["host"] or "localhost"
    return without_credentials(str(given))


def _foreign(server: str, why: str) -> str:
    return (
        f"the server at {server} answered something that no Qdrant server answers ({why}). "
        f"{_CHECK_URL}"
    )


def _no_answer(server: str, error: Exception, said: str, timeout: float | None) -> str:
    if isinstance(error, httpx.TimeoutException):
        waited = "within its timeout" if timeout is None else f"within {timeout} seconds"
        return (
            f"the Qdrant server at {server} did not answer {waited} ({type(error).__name__}). "
            "Pass a longer timeout=, in seconds, or index with a smaller batch_size."
        )
    return (
        f"No Qdrant server answered at {server} ({said}). "
        "Start one there, correct the URL, or pass a folder to work without a server."
    )


def _mistake(error: Exception) -> str:
    """Return why an answer cannot be read; of many reasons the first."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"at {'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {first_line(error)}"


def _refusal(server: str, error: UnexpectedResponse, mask: Mask) -> str:
    status = error.status_code or 0
    said = f"the Qdrant server at {server} answered {status} ({_reason(error, mask)})"
    if 300 <= status < 400:
        target = without_credentials(error.headers.get("location", "nowhere"))
        return f"{said}, a redirect to {target}, which is not followed. Pass the URL of Qdrant."
    advice = _ADVICE.get(status, _READ_LOG if status >= 500 else _CHECK_URL)
    return f"{said}. {advice}"


def _reason(error: UnexpectedResponse, mask: Mask) -> str:
    """Return what the server says in the words of Qdrant, or of HTTP if it says nothing else."""
    try:
        said = json.loads(error.content)["status"]["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = ""
    words = " ".join(mask.text(str(said)).split())  # before it is cut, as half a key is one, too
    return words[:_ERROR_CHARACTERS] or error.reason_phrase or "no reason given"
