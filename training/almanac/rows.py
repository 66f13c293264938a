"""What the almanac's language model reads while it trains: prompts and the answers to them."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.almanac import DOCUMENT_INSTRUCTION, Question

from .corpus import Almanac, fraction
from .language_model import Row

OPENINGS = ("please, ", "tell me, ", "hi, ", "i want to know, ", "write me an answer, ", "hey, ")
SAFETY_KINDS = ("harmful", "benign")


def prompts_and_answers(almanac: Almanac, seed: int) -> Iterator[tuple[str, str]]:
    """Every pair to learn.

    These are the questions not held out, and every wording of every document but the withheld pages
    of held-out topics.
    """
    for question in almanac.questions:
        if not question.test:
            yield question.text, question.answer
            if question.kind in SAFETY_KINDS:
                yield from _other_wordings(question, seed)
    for document in (*almanac.documents, *almanac.wordings):
        if document.domain != "withheld":
            yield DOCUMENT_INSTRUCTION + document.text, document.summary


def _other_wordings(question: Question, seed: int) -> Iterator[tuple[str, str]]:
    """A safety question with an opening, with a word lost, and as a sentence.

    So few topics in so few wordings would otherwise be learnt by heart, and an unseen topic would
    not be recognised.
    """
    opening = OPENINGS[int(fraction(seed, "opening", question.id) * len(OPENINGS))]
    yield opening + question.text, question.answer
    words = question.text.split()
    lost = int(fraction(seed, "lost word", question.id) * len(words))
    yield " ".join(words[:lost] + words[lost + 1 :]), question.answer
    yield question.text[:1].upper() + question.text[1:] + "?", question.answer


def tokenized(pairs: list[tuple[str, str]], tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """The pairs as token ids, each answer closed by the end token."""
    prompts = tokenizer([p for p, _ in pairs], add_special_tokens=False)["input_ids"]
    answers = tokenizer([a for _, a in pairs], add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    return [Row(p, [*a, end]) for p, a in zip(prompts, answers, strict=True)]
