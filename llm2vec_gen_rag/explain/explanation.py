"""Explain an embedding: what it says, token by token, and why a document is near."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from llm2vec_gen_rag.arguments import require_positive, require_string
from llm2vec_gen_rag.explain.findings import Findings, Reading, ScoreSplit
from llm2vec_gen_rag.explain.lens import words_of_states
from llm2vec_gen_rag.explain.notebook import as_html
from llm2vec_gen_rag.explain.results import FoundText, found_text
from llm2vec_gen_rag.explain.split import split_score
from llm2vec_gen_rag.explain.states import response_states
from llm2vec_gen_rag.explain.terminal import as_lines
from llm2vec_gen_rag.model import LLM2VecGen, require_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAME_SCORE = 0.005  # vectors of bfloat16 differ by less from one batch to another


@dataclass(frozen=True)
class Explanation(Findings):
    """Why a document is near a query, or what a query alone asks for.

    `print` shows it as text, a notebook as HTML, and `plot` as a picture; see `Findings` for its
    values.
    """

    def __str__(self) -> str:
        return self.as_text()

    def as_text(self, width: int = 80) -> str:
        """Format the explanation for a person.

        Args:
            width: columns to fill, at least 60.

        Returns:
            Lines of at most `width` characters.
        """
        return "\n".join(as_lines(self, width))

    def _repr_html_(self) -> str:
        """Return HTML for a notebook, in which every text is escaped."""
        return as_html(self)

    def plot(self) -> Figure:
        """Draw a heat map: of the score's split, or of the query's tokens without a document.

        Returns:
            A figure of matplotlib: `savefig` writes it, and a notebook in which
            `%matplotlib inline` was said shows it.

        Raises:
            MissingExtraError: if matplotlib is not installed.
        """
        from llm2vec_gen_rag.explain.heat_map import draw

        return draw(self)


def explain(
    model: LLM2VecGen,
    query: str,
    document: object = None,
    *,
    task: str = "retrieval",
    nearest: int = 5,
    max_new_tokens: int = 64,
) -> Explanation:
    """Explain the embedding of a query, and why that of a document is near.

    Args:
        model: the model; that of an adapter is its `model`.
        query: a query; the instruction of its task precedes it.
        document: a text, or a search result as it came: a `Hit` of a `DocumentCollection`,
            LangChain's `Document` or (Document, score), LlamaIndex's `NodeWithScore`. Of a node
            with metadata, the text is what LlamaIndex embeds, metadata included, unless the score
            is that of the text alone, which is what a `DocumentCollection` embeds. A node without
            text, such as of an image, is refused.
        task: a name in `model.prompts.query`.
        nearest: how many tokens of the vocabulary to list for each response token.
        max_new_tokens: the most tokens to write when decoding and when answering.

    Returns:
        The explanation; without a document, of the query alone.

    Raises:
        ValueError: if an argument is not as described.
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    require_model(model)
    require_string("query", query)
    found = None if document is None else found_text(document)
    require_positive("nearest", nearest)
    instruction = model.prompts.for_query(task)
    read = partial(_reading, model, nearest=nearest, max_new_tokens=max_new_tokens)
    answer = model.answer(query, instruction=instruction, max_new_tokens=max_new_tokens)
    asked = response_states(model, query, instruction=instruction)
    reading = read(query, asked, instruction)
    if found is None:
        return Explanation(reading, answer)
    text, states, split = _embedded_text(model, asked, found)
    return Explanation(
        reading,
        answer,
        document=read(text, states, model.prompts.document),
        cosine=sum(split.by_query_token),
        split=split,
        search_score=found.score,
    )


def _reading(
    model: LLM2VecGen,
    text: str,
    states: Tensor,
    instruction: str,
    *,
    nearest: int,
    max_new_tokens: int,
) -> Reading:
    """Return what the embedding of a text says, from its states (K, hidden)."""
    untold = response_states(model, "", instruction=instruction)
    says = model.decode(text, instruction=instruction, max_new_tokens=max_new_tokens)
    return Reading(text, says, words_of_states(model, states, untold, nearest))


def _embedded_text(
    model: LLM2VecGen, asked: Tensor, found: FoundText
) -> tuple[str, Tensor, ScoreSplit]:
    """Return the text that was embedded, the states of its response tokens, and the score's split.

    It is the first of the texts, unless the score that the search gave is that of the last alone.
    """
    candidates = []
    for text in found.texts:
        states = response_states(model, text, instruction=model.prompts.document)
        candidates.append((text, states, split_score(model, asked, states)))
    if found.score is not None:
        gaps = [abs(sum(split.by_query_token) - found.score) for _, _, split in candidates]
        if gaps[-1] < min(_SAME_SCORE, gaps[0]):
            return candidates[-1]
    return candidates[0]
