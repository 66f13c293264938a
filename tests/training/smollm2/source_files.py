"""Small files of each kind that `smollm2` is built from."""

from __future__ import annotations

import json
from pathlib import Path

from llm2vec_gen_rag.training.smollm2.rows import Sources

QUESTIONS = ("how tall is a heron?", "why is the sky blue?", "who wrote Hamlet?")
ARTICLE = (
    "The heron is a bird. It eats fish, frogs and now and then a mouse. "
    + "A long sentence about herons that stand in the water follows here for the length of it. " * 5
).strip()
NOUN = (
    "  1 licence\n"
    "00001 05 n 02 heron 0 wading_bird 0 000 | a grey bird with long legs and a long neck; "
    '"a heron stood there"  \n'
)
VERB = "00002 38 v 01 ford 0 000 | to cross a river where it is shallow  \n"
MANUAL = """\
Files
=====

.. note:: a directive

The function :func:`open` returns a ``file object``, and its mode says whether the file is read
or written to by the program.

    >>> open("x")
"""


def write_sources(folder: Path) -> Sources:
    """Write one file of each kind into a folder, and return where they are."""
    sources = Sources(
        questions=folder / "questions.jsonl",
        encyclopedia=folder / "summaries.json",
        dictionary=folder / "wordnet",
        manual=folder / "manual",
    )
    lines = (json.dumps({"query": question}) + "\n" for question in QUESTIONS)
    sources.questions.write_text("".join(lines))
    sources.encyclopedia.write_text(json.dumps({"Heron": {"extract": ARTICLE}}))
    sources.dictionary.mkdir()
    (sources.dictionary / "data.noun").write_text(NOUN)
    (sources.dictionary / "data.verb").write_text(VERB)
    sources.manual.mkdir()
    (sources.manual / "files.rst.txt").write_text(MANUAL)
    return sources
