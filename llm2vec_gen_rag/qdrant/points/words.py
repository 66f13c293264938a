"""The words of a text, in any language, for BM25.

Languages that put spaces between words are cut there. A word that is written in parts, such as
snake_case, v1.2.3, E-1107 or l'eau, counts as a whole and by its parts, so that it is found by
either. Languages without spaces are cut into overlapping pieces, as search engines do that have
no dictionary: Chinese, Japanese and Korean into pairs of characters, and Chinese characters one
by one too; Thai, Lao, Khmer and Burmese into threes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from llm2vec_gen_rag.qdrant.points.spelling import folded

# Han with its radicals and iteration marks; kana and bopomofo; Hangul
_HAN = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_KANA = "\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
# Thai, Lao, Burmese, Khmer
_SOUTH_EAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
_PAIRED = re.compile(f"[{_HAN}{_KANA}{_HANGUL}]")
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
_IN_THREES = re.compile(f"[{_SOUTH_EAST_ASIAN}]")
_UNSPACED = re.compile(f"[{_HAN}{_KANA}{_HANGUL}]+|[{_SOUTH_EAST_ASIAN}]+")

# between two letters or digits: UAX #29's, with the hyphen; Catalan's dot and Hebrew's two marks
_JOINERS = "-.'\u00b7\u05f3\u05f4"
_JOINT = rf"(?:[{_JOINERS}]|(?<=\d),(?=\d))"
_PARTS = re.compile(rf"[_,{_JOINERS}]+")


def words_of(text: str) -> list[str]:
    """Return the words in order, each in one spelling; see `spelling.folded`.

    Args:
        text: Any text.

    Returns:
        The words, as often as they occur; the parts of a compound follow it.
    """
    return [word for run in _runs(folded(text)) for word in _words_of_run(run)]


def _runs(text: str) -> list[str]:
    """Return the runs of letters, digits, underscores, accents and joints, of one script each."""
    if text.isascii():
        marks = ""
    else:
        text = _UNSPACED.sub(r" \g<0> ", text)
        # of the kinds of combining mark, those that enclose a character are no part of a word
        marks = "".join(c for c in set(text) if unicodedata.category(c) in {"Mn", "Mc"})
    word = rf"\w[\w{marks}]*"
    return re.findall(rf"{word}(?:{_JOINT}{word})*", text)


def _words_of_run(run: str) -> Iterator[str]:
    if _PAIRED.match(run):
        if len(run) > 1:
            yield from _HAN_CHARACTER.findall(run)
        yield from _overlapping(list(run), 2)
    elif _IN_THREES.match(run):
        yield from _overlapping(re.findall(r"\w\W*", run), 3)  # a letter and its marks
    else:
        parts = [part for part in _PARTS.split(run) if part]
        if parts and parts != [run]:
            yield run
        yield from parts


def _overlapping(characters: list[str], size: int) -> Iterator[str]:
    """Yield each ``size`` neighbours; all of them where they are fewer."""
    for start in range(max(1, len(characters) - size + 1)):
        yield "".join(characters[start : start + size])
