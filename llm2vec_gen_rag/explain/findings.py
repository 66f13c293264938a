"""What is found out about an embedding, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LikelyToken:
    """A token of the vocabulary that the LLM could write after a response token.

    Attributes:
        text: the token as text, spaces included.
        probability: the LLM's probability that it comes next, after the instruction, the text and
            the response tokens up to this one: between 0 and 1, over the whole vocabulary.
        lift: how many times as likely it is as without the text, after the instruction and the same
            response tokens: above 1, the text makes it likelier.
    """

    text: str
    probability: float
    lift: float


@dataclass(frozen=True)
class Reading:
    """What the embedding of one text says.

    Attributes:
        text: the text.
        says: what the LLM writes given the soft prompts: see `LLM2VecGen.decode`.
        tokens: for each of the K response tokens that are read, the tokens that the text makes
            likelier there: see `logit_lens`.
    """

    text: str
    says: str
    tokens: tuple[tuple[LikelyToken, ...], ...]


@dataclass(frozen=True)
class ScoreSplit:
    """The cosine of two embeddings, split exactly over their response tokens: see `split_score`.

    Attributes:
        cells: K rows of K, (query's response token, document's); they add up to the cosine.
    """

    cells: tuple[tuple[float, ...], ...]

    @property
    def by_query_token(self) -> tuple[float, ...]:
        """What each response token of the query contributes; together, the cosine."""
        return tuple(map(sum, self.cells))

    @property
    def by_document_token(self) -> tuple[float, ...]:
        """What each response token of the document contributes; together, the cosine."""
        return tuple(map(sum, zip(*self.cells, strict=True)))


@dataclass(frozen=True)
class Findings:
    """What a query's embedding says, and why a document's is near it.

    Attributes:
        query: what the query's embedding says.
        answer: the LLM's own answer to the query: what `query.says` should be.
        document: what the document's embedding says, if there is one.
        cosine: cosine similarity of the two embeddings, if there is a document.
        split: the cosine, split over response tokens, if there is a document.
        search_score: the score that a search gave, if the document came as its result. It is
            another number than `cosine` where the search ranked by more than the two vectors.
    """

    query: Reading
    answer: str
    document: Reading | None = None
    cosine: float | None = None
    split: ScoreSplit | None = None
    search_score: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return asdict(self)
