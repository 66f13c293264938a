"""A response and its line in a file: a query, an answer, and where the answer comes from."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal, get_args

from llm2vec_gen_rag.files import parse_json_line

# who answered: the frozen LLM; the row of the query itself; a policy, for one of its categories
Source = Literal["llm", "given", "policy"]
SOURCES: tuple[Source, ...] = get_args(Source)
_EXAMPLE = '{"query": "...", "response": "...", "finished": true, "source": "llm"}'


@dataclass(frozen=True)
class Response:
    """An answer to a query.

    Attributes:
        query: the query, without its instruction.
        response: the answer.
        finished: whether the LLM ended it before the limit of tokens; true of any other source.
        source: who answered.
        category: of the policy that answered; None for any other source.
    """

    query: str
    response: str
    finished: bool
    source: Source = "llm"
    category: str | None = None

    def as_line(self) -> bytes:
        """Return the line of a file that holds the response, with its end."""
        fields = dataclasses.asdict(self)
        if self.category is None:
            del fields["category"]
        return (json.dumps(fields) + "\n").encode("ascii")


def parse_response(line: bytes, place: str) -> Response:
    """Return the response in one line of a file; one that names no source is the LLM's.

    Args:
        line: the line.
        place: where it is, for the error.

    Returns:
        The response.

    Raises:
        ValueError: if the line is not a response.
    """
    row = parse_json_line(line, place, _EXAMPLE)
    fix = f"expected {_EXAMPLE}. Fix or delete the line."
    try:
        response = Response(**row)
    except TypeError as error:
        raise ValueError(f"{place} is not a response ({error}); {fix}") from error
    if not isinstance(response.query, str) or not isinstance(response.response, str):
        raise ValueError(f"{place} has a query or a response that is not a string; {fix}")
    if response.source not in SOURCES:
        raise ValueError(f"{place} has source {response.source!r}, not one of {SOURCES}; {fix}")
    return response
