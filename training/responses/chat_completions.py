"""The client of a chat completions server: concurrent requests, retried when that may help."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llm2vec_gen_rag.errors import EndpointError, MissingExtraError
from llm2vec_gen_rag.training.responses.endpoint import Endpoint
from llm2vec_gen_rag.training.responses.response import Response

try:
    import httpx
    import tenacity
except ModuleNotFoundError as error:
    if error.name not in ("httpx", "tenacity"):
        raise
    raise MissingExtraError("endpoint", error.name) from error

RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
REFUSED_STATUS = frozenset({400, 413, 422})  # this query alone; any other status stops the run
LONGEST_WAIT = 60.0  # seconds between two attempts, unless the server asks for more
LONGEST_ASKED_WAIT = 300.0  # seconds that a server may ask for
REFUSALS_WITHOUT_ANSWER = 10  # if all of the first ones are refused, the queries are not at fault


@dataclass(frozen=True)
class ChatRequest:
    """A query, and the body of its request."""

    query: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class _Refusal:
    """A query that the server refuses to answer, and why."""

    query: str
    reason: str


class _TryAgainError(Exception):
    """A failure that another attempt may avoid, after the seconds that the server asks for."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


def ask_all(
    endpoint: Endpoint,
    key: str | None,
    requests: Sequence[ChatRequest],
    keep: Callable[[list[Response]], None],
) -> None:
    """Send requests concurrently, and hand over every answer when it arrives.

    Args:
        endpoint: the server.
        key: its API key, if it needs one.
        requests: what to send, each once.
        keep: called with the answers that have just arrived, in any order.
    """
    asyncio.run(_Asking(endpoint, key, keep).run(requests))


class _Asking:
    """One run of requests to a server."""

    def __init__(
        self, endpoint: Endpoint, key: str | None, keep: Callable[[list[Response]], None]
    ) -> None:
        self._endpoint = endpoint
        self._key = key
        self._keep_answers = keep
        self._refusals: list[_Refusal] = []
        self._answers = 0

    async def run(self, requests: Sequence[ChatRequest]) -> None:
        """Send the requests; raise `EndpointError` for those refused once all are answered."""
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        async with httpx.AsyncClient(
            headers=headers,
            timeout=self._endpoint.timeout,
            limits=httpx.Limits(max_connections=self._endpoint.concurrency),
        ) as client:
            await self._keep_all(self._ask(client, request) for request in requests)
        if self._refusals:
            raise EndpointError(self._refused(len(requests)))

    async def _keep_all(self, asked: Iterator[Coroutine[Any, Any, Response | _Refusal]]) -> None:
        """Run the coroutines concurrently, and keep the result of each when it arrives."""
        running: set[asyncio.Task[Response | _Refusal]] = set()
        try:
            while True:
                free = self._endpoint.concurrency - len(running)
                running |= {asyncio.create_task(ask) for ask in islice(asked, free)}
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                self._keep(done)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _keep(self, done: set[asyncio.Task[Response | _Refusal]]) -> None:
        """Hand over the answers; only then raise what went wrong."""
        outcomes = [task.result() for task in done if task.exception() is None]
        answers = [outcome for outcome in outcomes if isinstance(outcome, Response)]
        if answers:
            self._keep_answers(answers)
        self._answers += len(answers)
        self._refusals += [outcome for outcome in outcomes if isinstance(outcome, _Refusal)]
        for task in done:
            task.result()  # raises what it raised
        if not self._answers and len(self._refusals) >= REFUSALS_WITHOUT_ANSWER:
            raise EndpointError(self._refused(len(self._refusals)))

    async def _ask(self, client: httpx.AsyncClient, request: ChatRequest) -> Response | _Refusal:
        """Send one request until it is answered or refused, or the attempts are used up."""
        first_waits = tenacity.wait_random_exponential(self._endpoint.backoff, max=LONGEST_WAIT)

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            asked = failure.after if isinstance(failure, _TryAgainError) else 0.0
            return max(first_waits(state), asked)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            stop=tenacity.stop_after_attempt(self._endpoint.attempts),
            wait=wait,
            reraise=True,
        )
        try:
            return await retrying(self._post, client, request)
        except _TryAgainError as error:
            raise EndpointError(
                f"{self._endpoint.url} gave no answer in {self._endpoint.attempts} attempts; the "
                f"last failed with {error}. The responses so far are kept: check the server, and "
                "run again."
            ) from error

    async def _post(self, client: httpx.AsyncClient, request: ChatRequest) -> Response | _Refusal:
        """Send one request once."""
        url = self._endpoint.url.rstrip("/") + "/chat/completions"
        try:
            reply = await client.post(url, json=request.payload)
        except httpx.RequestError as error:
            raise _TryAgainError(f"{type(error).__name__}: {error}") from error
        if reply.is_success:
            return _read(self._endpoint, request.query, self._body(reply))
        reason = f"status {reply.status_code}, {self._said(reply)}"
        if reply.status_code in RETRIED_STATUS:
            raise _TryAgainError(reason, _seconds(reply.headers.get("Retry-After", "")))
        if reply.status_code in REFUSED_STATUS:
            return _Refusal(request.query, reason)
        raise EndpointError(
            f"{url} refuses requests with {reason}; expected a URL up to /v1, a model that the "
            "server serves, and the right API key. The responses so far are kept."
        )

    def _body(self, reply: httpx.Response) -> Any:
        """Return the JSON of a reply."""
        try:
            return reply.json()
        except ValueError as error:
            raise EndpointError(
                f"the reply of {self._endpoint.url} is not JSON: {self._said(reply)}; "
                "expected an OpenAI-compatible server. Check the URL."
            ) from error

    def _said(self, reply: httpx.Response) -> str:
        """Return the beginning of a reply, with the API key masked if the reply repeats it."""
        said = reply.text if self._key is None else reply.text.replace(self._key, "***")
        return " ".join(said.split())[:300]

    def _refused(self, asked: int) -> str:
        """Return the error for the queries that were refused."""
        first = self._refusals[0]
        return (
            f"{self._endpoint.url} refused {len(self._refusals)} of {asked} queries, such as "
            f"{first.query[:80]!r} ({first.reason}); remove or shorten them, and run again. All "
            "responses so far are kept."
        )


def _read(endpoint: Endpoint, query: str, body: Any) -> Response | _Refusal:
    """Return the answer in the body of a reply."""
    try:
        choice = body["choices"][0]
        message, reason = choice["message"], choice["finish_reason"]
        text = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise EndpointError(
            f"the reply of {endpoint.url} is {json.dumps(body)[:300]}; expected a chat completion. "
            "Check the URL."
        ) from error
    thought = message.get("reasoning_content") or message.get("reasoning")
    if endpoint.thinking_off and (thought or str(text).lstrip().startswith("<think>")):
        raise EndpointError(
            f"{endpoint.model} at {endpoint.url} thinks before it answers, though asked not to; "
            "expected the answer alone. Serve a chat template with enable_thinking, or a model "
            "that does not think."
        )
    if not isinstance(text, str):
        return _Refusal(query, f"no text, finish_reason {reason!r}")
    return Response(query, text, finished=reason == "stop")


def _seconds(header: str) -> float:
    """Return the seconds of a Retry-After header; 0 for a date, or without the header."""
    return min(float(header), LONGEST_ASKED_WAIT) if header.isdecimal() else 0.0
