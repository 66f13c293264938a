"""A search result as a framework returns it: its text, and its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, SupportsFloat, TypeGuard


@dataclass(frozen=True)
class FoundText:
    """The text of a search result.

    Attributes:
        texts: the text that was embedded. There are two where the result does not say whether its
            metadata was embedded before its text: with it first, then without.
        score: the score that the search gave; None if it gave none.
    """

    texts: tuple[str, ...]
    score: float | None = None


def found_text(result: object) -> FoundText:
    """Read a text, or a search result, without importing the framework that it is from.

    Args:
        result: a string; a `Hit` of a `DocumentCollection`; LangChain's `Document`, or the pair
            (Document, score) of its searches with scores; LlamaIndex's `NodeWithScore`, or a node.

    Returns:
        The text and the score.

    Raises:
        ValueError: if it is none of these, or has no text, as an image.
    """
    if isinstance(result, str):
        return FoundText((result,))
    if isinstance(result, tuple) and len(result) == 2 and _is_number(result[1]):
        return FoundText(found_text(result[0]).texts, float(result[1]))
    score = getattr(result, "score", None)
    document = getattr(result, "node", result)
    texts = _texts_of(document)
    if not texts:
        raise ValueError(
            f"document is {result!r:.80} ({type(result).__name__}); expected a string, a hit of a "
            "DocumentCollection, LangChain's Document or (Document, score), or LlamaIndex's "
            "NodeWithScore. Pass one result, not a list of them."
        )
    read = tuple(text for text in texts if text.strip())
    if not read:
        raise ValueError(
            f"document is of the kind {type(document).__name__} and has no text; expected one with "
            "text, which is all that the model embeds. Pass a text that describes it."
        )
    return FoundText(read, float(score) if _is_number(score) else None)


def _texts_of(document: Any) -> tuple[str, ...]:
    """Return the texts of a document of one of the three libraries; none of anything else."""
    if callable(getattr(document, "get_content", None)):  # LlamaIndex's nodes
        # the values of its MetadataMode: what it embeds, and the text alone
        return tuple(dict.fromkeys(str(document.get_content(mode)) for mode in ("embed", "none")))
    text = getattr(document, "page_content", getattr(document, "text", None))
    return (text,) if isinstance(text, str) else ()


def _is_number(value: object) -> TypeGuard[SupportsFloat]:
    # numpy's float32 is no float, and LangChain's stores return it
    return isinstance(value, SupportsFloat) and not isinstance(value, bool)
