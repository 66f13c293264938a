"""Ten questions of a newcomer about this repository's pages, written down beforehand.

The pages are indexed and searched as `index` and `search` do it by default: passages of 1,000
characters, and vectors alone. The pages were edited with them at hand (docs/log.md).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from installed_smollm2 import needs_smollm2

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.qdrant import DocumentCollection
from llm2vec_gen_rag.qdrant.reading.folders import sync_path
from llm2vec_gen_rag.qdrant.reading.found_files import find_files
from llm2vec_gen_rag.qdrant.reading.passages import PASSAGE_CHARACTERS, passages

ROOT = Path(__file__).parents[2]
FIRST = 3  # hits

# question, page, and words of the passage that answers it
QUESTIONS = [
    (
        "which command do I type to set this up with pip?",
        "README.md",
        "pip install 'llm2vec-gen-rag[langchain,llama-index,qdrant]'",
    ),
    (
        "can I spread the work over more than one graphics card?",
        "README.md",
        "With several devices, each gets a process of its own that loads the model once",
    ),
    (
        "who invented this, and which paper should I cite?",
        "README.md",
        "BehnamGhader, Adlakha, Schmidt, Chapados, Mosbach and Reddy",
    ),
    (
        "my computer crashed in the middle of training, do I have to start over?",
        "docs/training.md",
        "Press Ctrl-C, or lose the machine, in any stage; then run the same command again",
    ),
    (
        "how can I decide which requests the model turns down, and what it says then?",
        "docs/training.md",
        "A policy says what your model refuses and in which words",
    ),
    (
        "I already have the answers to some of my questions, can they be used?",
        "docs/training.md",
        "A row of a `.jsonl` file may bring its own answer in the field `response`",
    ),
    (
        "can a vLLM server write the answers?",
        "docs/training.md",
        "At scale a serving engine is faster",
    ),
    (
        "why does my gunicorn worker hang after it was forked?",
        "docs/reliability.md",
        "A fork copies one thread. The threads",
    ),
    (
        "is it worth learning more than a handful of response tokens?",
        "docs/evidence.md",
        "### How many response tokens",
    ),
    (
        "how fast is it on a GPU?",
        "docs/performance.md",
        "on a GPU are **not yet measured**",
    ),
]


def text_of(passage):
    """The passage with each run of white space as one space, as a phrase may be broken anywhere."""
    return " ".join(passage.split())


@pytest.mark.parametrize(("question", "page", "phrase"), QUESTIONS)
def test_one_passage_of_the_page_answers(question, page, phrase):
    found = passages((ROOT / page).read_text(encoding="utf-8"), 1000)
    assert sum(phrase in text_of(passage) for passage in found) == 1


@pytest.fixture(scope="session")
def indexed(tmp_path_factory):
    """The collection that `index` makes of README.md and docs/; smollm2 is loaded once."""
    model = LLM2VecGen.from_pretrained("smollm2")
    store = tmp_path_factory.mktemp("own") / "store"
    with DocumentCollection.open(store, "documents", model) as collection:
        for path in (ROOT / "docs", ROOT / "README.md"):
            sync_path(
                collection,
                path,
                find_files(path),
                passage_characters=PASSAGE_CHARACTERS,
                allow_empty=False,
                show_progress=False,
            )
        yield collection


def file_of(hit):
    """The path of a hit's file from the root: the source `docs` names files from there."""
    name = hit.metadata["file"]
    return name if name == "README.md" else f"docs/{name}"


@needs_smollm2
@pytest.mark.slow
def test_passages_that_answer_are_among_the_first(indexed):
    missed = []
    for question, page, phrase in QUESTIONS:
        hits = indexed.search(question, FIRST)
        if (page, True) not in [(file_of(hit), phrase in text_of(hit.text)) for hit in hits]:
            missed.append((question, [(file_of(hit), hit.text[:80]) for hit in hits]))
    assert not missed


@needs_smollm2
@pytest.mark.slow
def test_the_readme_shows_what_its_question_finds(indexed):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("## Your own documents")[1].split("\n## ")[0]
    question = re.search(r'^\$ llm2vec-gen-rag search "(.+)"', block, flags=re.MULTILINE)[1]
    shown = re.findall(r"^ 1  \d\.\d{3}  (\S+)$", block, flags=re.MULTILINE)
    hits = [hit for hit in indexed.search(question, 20) if file_of(hit) != "README.md"]
    assert shown == [hits[0].id]  # the score differs in its last digit from CPU to CPU
