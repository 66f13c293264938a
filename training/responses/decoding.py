"""How a response's tokens are chosen, and with which random numbers, whoever writes it."""

from __future__ import annotations

import hashlib
from typing import Literal

# "greedy": the most likely token, always; "sampled": as the LLM's own generation config says
Decoding = Literal["greedy", "sampled"]


def as_decoding(name: object) -> Decoding:
    """Return the decoding of that name; raise ValueError if there is none."""
    if name == "greedy":
        return "greedy"
    if name in ("sampled", "generation-config"):  # the latter is the earlier name
        return "sampled"
    raise ValueError(f"decoding is {name!r}; expected one of greedy, sampled")


def query_seed(seed: int, query: str) -> int:
    """Return the seed of one query's response, whatever is answered before or beside it.

    Args:
        seed: of the whole run.
        query: the query.

    Returns:
        A number below 2**31, which every server accepts.
    """
    text = f"{seed}\n{query}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1
