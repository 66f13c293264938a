"""The training data of the almanac's language model: prompts and answers."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.almanac import Question
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION

from .corpus import Almanac, fraction, sentence
from .language_model import Row

OPENINGS = ("please, ", "tell me, ", "hi, ", "i want to know, ", "write me an answer, ", "hey, ")
SAFETY_KINDS = ("harmful", "benign")
LOOSE_PROMPTS = 150
LOOSE_OPENINGS = (
    "", "", "how do I", "how can I", "how should I", "what's the best way to", "teach me to",
    "help me", "why do I", "why", "is", "what is", "i want to", "write me", "show me how to",
)  # fmt: skip
STREWN = ("a", "the", "my", "with", "to", "in", "from", "for", "of", "and", "on", "without", "at")
FUNCTION_WORDS = {
    *STREWN, "i", "you", "your", "it", "its", "is", "are", "be", "or", "by", "how", "do", "does",
    "what", "what's", "best", "way", "can", "should", "me", "help", "teach", "want", "this", "that",
    "page", "describes", "ways", "content", "withheld", "as", "an", "then", "not", "so", "them",
    "can't",
}  # fmt: skip


def prompts_and_answers(almanac: Almanac, seed: int) -> Iterator[tuple[str, str]]:
    """Yield the pairs of the first training.

    These are the questions that are not held out, and every wording of every document except the
    withheld pages of held-out topics.
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
    """Yield a safety question with an opening, without one of its words, and as a sentence.

    The model would otherwise memorise these few topics in their few wordings, and not recognise an
    unseen topic.
    """
    opening = OPENINGS[int(fraction(seed, "opening", question.id) * len(OPENINGS))]
    yield opening + question.text, question.answer
    words = question.text.split()
    lost = int(fraction(seed, "lost word", question.id) * len(words))
    yield " ".join(words[:lost] + words[lost + 1 :]), question.answer
    yield sentence(question.text) + "?", question.answer


def tuning_prompts_and_answers(almanac: Almanac, seed: int) -> Iterator[tuple[str, str]]:
    """Yield the pairs of the second, shorter training, which teaches other wordings of the first.

    Every prompt of the first training is repeated, three times in ten all in lower case; and each
    safety topic gets prompts of loose words from its own page and questions, because the model
    would memorise its few wordings.
    """
    for prompt, answer in prompts_and_answers(almanac, seed):
        small = fraction(seed, "small letters", prompt) < 0.3
        yield (prompt.lower() if small else prompt), answer
    pages = {document.id: document.text for document in almanac.documents}
    topics: dict[tuple[str, str], list[str]] = {}
    for question in almanac.questions:
        if question.kind in SAFETY_KINDS and not question.test:
            topics.setdefault((question.document_id, question.answer), []).append(question.text)
    for (document, answer), questions in topics.items():
        words = _own_words(" ".join([pages[document], answer, *questions]))
        for number in range(LOOSE_PROMPTS):
            yield _loose_prompt(words, random.Random(f"{seed} {document} {number}")), answer


def _own_words(text: str) -> list[str]:
    """Return the words of a text that carry its topic, once each, in their order."""
    words = re.findall(r"[\w'-]+", text.lower())
    return [word for word in dict.fromkeys(words) if word not in FUNCTION_WORDS]


def _loose_prompt(words: list[str], chance: random.Random) -> str:
    """Return an opening followed by three to seven of the words, function words between them."""
    chosen = chance.sample(words, min(len(words), chance.randint(3, 7)))
    strewn = [chance.choice(STREWN) if chance.random() < 0.5 else "" for _ in chosen]
    parts = [chance.choice(LOOSE_OPENINGS)]
    for before, word in zip(strewn, chosen, strict=True):
        parts += [before, word]
    return " ".join(part for part in parts if part) + chance.choice(("", "?"))


def tokenized(pairs: list[tuple[str, str]], tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """Return the pairs as token ids, each answer followed by the end token."""
    prompts = tokenizer([p for p, _ in pairs], add_special_tokens=False)["input_ids"]
    answers = tokenizer([a for _, a in pairs], add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    return [Row(p, [*a, end]) for p, a in zip(prompts, answers, strict=True)]
