"""What a search puts before a text, where the queries of a run begin with it themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS, Prompts

_RECORDED = "search_instructions"


@dataclass(frozen=True)
class SearchInstructions:
    """The instructions that are written into the queries and documents of a run.

    Attributes:
        query: precedes a query in searching, as it does in training.
        document: precedes a document.
    """

    query: str
    document: str = DOCUMENT_INSTRUCTION


def recorded(instruction: str, written: SearchInstructions | None) -> dict[str, Any]:
    """Return what the record of a run says of its instructions.

    Args:
        instruction: that the run puts before every query.
        written: that the queries begin with themselves; None if they do not.

    Returns:
        The fields of the record.

    Raises:
        ValueError: if there are both.
    """
    if written is None:
        return {"instruction": instruction}
    if instruction:
        raise ValueError(
            f"got the instruction {instruction!r} for every query, and {written.query!r} that the "
            'queries begin with; expected one of them. Pass instruction="" for such queries.'
        )
    return {"instruction": instruction, _RECORDED: asdict(written)}


def prompts_of(origin: dict[str, Any]) -> Prompts:
    """Return the instructions of a model that learns from a run.

    Args:
        origin: the record of the run.

    Returns:
        The published ones, but for queries and documents those of the run.
    """
    written = SearchInstructions(**origin.get(_RECORDED, {"query": origin["instruction"]}))
    return Prompts(
        query={**QUERY_INSTRUCTIONS, "retrieval": written.query}, document=written.document
    )
