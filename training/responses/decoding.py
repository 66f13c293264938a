"""What a response depends on beside the model and the query, whoever writes it."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

# "greedy": the most likely token, always; "generation-config": as the model's own file says
Decoding = Literal["greedy", "generation-config"]


def require_decoding(decoding: object) -> None:
    """Raise ValueError unless the value is one of `Decoding`."""
    if decoding not in get_args(Decoding):
        raise ValueError(
            f"decoding is {decoding!r}; expected one of {', '.join(get_args(Decoding))}"
        )


def query_seed(seed: int, query: str) -> int:
    """Return the seed of one query's response, whatever is answered before or beside it.

    Args:
        seed: of the whole run.
        query: the query.

    Returns:
        A number below 2**31, which every server takes.
    """
    text = f"{seed}\n{query}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1
