"""`demo`: ask the almanac three questions, and print what its embeddings and its teacher find."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.options import new_command, quieten_loading, shows_progress
from llm2vec_gen_rag.commands.output import paragraph, print_json, strong

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.demo_questions import Asked, Found, Outcome
    from llm2vec_gen_rag.commands.options import Subparsers

SUMMARY = """\
Index the bundled almanac, ask three questions, and see why the answers differ.

A direct question, one that takes a thought, and a harmful one. For comparison, what the
response tokens' teacher finds, which sees only the question's own words. Then the same
with smollm2 on real texts: this repository's own pages, where they and its LLM are on
this machine. Offline; half a minute for the almanac, about one for the pages."""

EXAMPLES = """\
  llm2vec-gen-rag demo
  llm2vec-gen-rag demo --json > demo.json"""

TITLES = {
    "direct": "A direct question",
    "reasoning": "A question that takes a thought",
    "harmful": "A harmful question",
}
WITHHELD = ("stub", "withheld")
NEXT = """\
Next:
  llm2vec-gen-rag explain "{question}" --model almanac
  llm2vec-gen-rag index FOLDER && llm2vec-gen-rag search "a question about your own texts"
  llm2vec-gen-rag eval"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    new_command(subparsers, "demo", run, summary=SUMMARY, examples=EXAMPLES)


def run(arguments: argparse.Namespace) -> None:
    """Ask the questions of the almanac, then one about this repository's pages."""
    started = time.perf_counter()
    from llm2vec_gen_rag import almanac
    from llm2vec_gen_rag.commands.demo_pages import pages_as_text, search_pages
    from llm2vec_gen_rag.commands.demo_questions import ask, choose_questions
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher

    quieten_loading()
    model = LLM2VecGen.from_pretrained("almanac")
    teacher = TfidfTeacher.load(almanac.TEACHER_FOLDER)
    documents = almanac.documents()
    questions = choose_questions(documents, almanac.held_out_questions())
    outcomes = ask(model, teacher, documents, questions, show_progress=shows_progress())
    seconds = time.perf_counter() - started
    if not arguments.json:
        print(as_text(outcomes, documents=len(documents), seconds=seconds) + "\n", flush=True)
    pages = search_pages(show_progress=shows_progress())
    if arguments.json:
        print_json(
            {
                "documents": len(documents),
                "seconds": round(seconds, 1),
                "questions": [as_dict(outcome) for outcome in outcomes],
                "own_pages": dataclasses.asdict(pages),
            }
        )
    else:
        print(f"{pages_as_text(pages)}\n\n{next_steps(outcomes)}")


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as JSON values."""
    asked = outcome.asked
    return {
        "kind": asked.kind,
        "question": asked.text,
        "held_out": asked.held_out,
        "document": asked.document.id,
        "shared_words": asked.shared_words,
        "embedding_says": outcome.says,
        "hits": [_hit_as_dict(found) for found in outcome.hits],
        "teacher_hits": [_hit_as_dict(found) for found in outcome.teacher_hits],
    }


def as_text(outcomes: Sequence[Outcome], *, documents: int, seconds: float) -> str:
    """Return the outcomes for a person."""
    opening = (
        f"{documents:,} documents of the almanac indexed and {len(outcomes)} questions asked, in "
        f"{seconds:.0f} s.\n* marks the document that answers, ! the harmful page asked for."
    )
    parts = [opening]
    parts += [_section(place, outcome) for place, outcome in enumerate(outcomes, start=1)]
    return "\n\n".join(parts)


def next_steps(outcomes: Sequence[Outcome]) -> str:
    """Return what to try next, with the question that takes a thought."""
    thoughtful = next(o.asked.text for o in outcomes if o.asked.kind == "reasoning")
    return NEXT.format(question=thoughtful)


def _section(place: int, outcome: Outcome) -> str:
    """Return one question and its outcome."""
    asked = outcome.asked
    held_out = " (held out of training)" if asked.held_out else ""
    return "\n".join(
        [
            strong(f"{place}. {TITLES[asked.kind]}{held_out}"),
            paragraph(asked.text, first="   > ", indent="     "),
            paragraph(_words_in_common(asked), indent="   "),
            paragraph(outcome.says, first="   its embedding says: ", indent="     "),
            "   what the response tokens find",
            *_hit_lines(outcome.hits, asked),
            "   what their teacher finds, by the question's own words (TF-IDF)",
            *_hit_lines(outcome.teacher_hits, asked),
        ]
    )


def _words_in_common(asked: Asked) -> str:
    """Return a sentence on the words that the question shares with its document."""
    which = "the page it asks for" if asked.kind == "harmful" else "the document that answers it"
    words = asked.shared_words
    return f"words in common with {which}: {', '.join(words) if words else 'none at all'}"


def _hit_lines(hits: Sequence[Found], asked: Asked) -> list[str]:
    """Return the hits with the question's own document marked, or reported as missing."""
    lines = [_hit_line(found, asked) for found in hits]
    if all(found.document.id != asked.document.id for found in hits):
        harmful = asked.kind == "harmful"
        missing = "the page it asks for" if harmful else "the document that answers it"
        lines.append(f"          ({missing} is not among these {len(hits)})")
    return lines


def _hit_line(found: Found, asked: Asked) -> str:
    own = found.document.id == asked.document.id
    mark = ("!" if asked.kind == "harmful" else "*") if own else " "
    withheld = "[withheld] " if found.document.domain in WITHHELD else ""
    first = f"   {mark} {found.score:4.2f} "
    return paragraph(f"{withheld}{found.document.text}", first=first, indent=" " * 10, lines=2)


def _hit_as_dict(found: Found) -> dict[str, Any]:
    return {
        "id": found.document.id,
        "score": found.score,
        "text": found.document.text,
        "withheld": found.document.domain in WITHHELD,
    }
