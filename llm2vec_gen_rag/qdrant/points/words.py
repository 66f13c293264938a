"""The words of a text, in one spelling for all that Unicode and typography write them in."""

from __future__ import annotations

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: soft hyphens, zero-width spaces and joiners, marks of
# direction, variation selectors. Readers do not see them, so they neither cut nor distinguish.
_IGNORABLE = re.compile(
    "[\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e"
    "\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufff8"
    "\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]"
)
_WORD = re.compile(r"\w+")
# Of a longer run of marks Unicode's stream-safe text format (UAX #15) makes several, with this
# joiner between: putting one run in order takes time that grows with the square of its length.
_MOST_MARKS = 30
_JOINER = "\u034f"


def words_of(text: str) -> list[str]:
    """Return the words in order: runs of letters, digits and underscores, and their accents.

    Words that differ in case, in composed or decomposed accents, in full or half width, or in
    characters without a glyph come out as one (Unicode's NFKC and case folding). Accents, Arabic
    vowel signs and the like distinguish words, and of more than 30 on one letter the order does
    too, which no language has. In scripts without spaces, each run is one word.

    Args:
        text: Any text.

    Returns:
        The words, as often as they occur.
    """
    if text.isascii():
        return _WORD.findall(text.casefold())
    visible = _cut_runs_of_marks(_set_symbols_apart(_IGNORABLE.sub("", text)))
    folded = unicodedata.normalize("NFKD", visible).casefold()
    composed = unicodedata.normalize("NFKC", folded).replace(_JOINER, "")
    # of the kinds of combining mark, those that enclose a character are no part of a word
    marks = "".join(c for c in set(composed) if unicodedata.category(c) in {"Mn", "Mc"})
    return re.findall(rf"\w[\w{marks}]*", composed)


def _set_symbols_apart(text: str) -> str:
    """Put spaces around symbols, some of which NFKC spells out in letters, such as a ™."""
    symbols = {c for c in set(text) if unicodedata.category(c).startswith("S")}
    return text.translate({ord(symbol): f" {symbol} " for symbol in symbols})


def _cut_runs_of_marks(text: str) -> str:
    """Put a joiner into each run of marks that is longer than those of any language."""
    # some, such as a half-width voiced sound mark, are marks only once they are decomposed
    marks = [c for c in set(text) if unicodedata.combining(unicodedata.normalize("NFKD", c)[0])]
    if not marks:
        return text
    return re.sub(f"[{''.join(marks)}]{{{_MOST_MARKS}}}", rf"\g<0>{_JOINER}", text)
