"""A text in one spelling, out of all that Unicode and typography write it in."""

from __future__ import annotations

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: soft hyphens, zero-width spaces and joiners, marks of
# direction, variation selectors. Readers do not see them, so they neither cut nor distinguish.
# Arabic's tatweel stretches a word and says nothing.
_IGNORABLE = re.compile(
    "[\\u0640\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f"
    "\\u202a-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufff8"
    "\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]"
)
# Of a longer run of marks Unicode's stream-safe text format (UAX #15) makes several, with this
# joiner between: putting one run in order takes time that grows with the square of its length.
_MOST_MARKS = 30
_JOINER = "\u034f"
_PLAIN = str.maketrans("\u2010\u2019\u02bc\u066b\u066c", "-''.,")


def folded(text: str) -> str:
    """Return the text in Unicode's NFKC and case folding, with digits of every script in ASCII.

    Texts that differ in case, in composed or decomposed accents, in full or half width, in the
    script of their digits, in typographic hyphens and apostrophes or in characters without a glyph
    come out as one. Accents, Arabic vowel signs and the like stay, and of more than 30 on one
    letter the order does too, which no language has.

    Args:
        text: Any text.

    Returns:
        The text, with spaces around symbols.
    """
    if text.isascii():
        return text.casefold()
    visible = _cut_runs_of_marks(_set_symbols_apart(_IGNORABLE.sub("", text)))
    decomposed = unicodedata.normalize("NFKD", visible).casefold()
    composed = unicodedata.normalize("NFKC", decomposed).replace(_JOINER, "")
    digits = {ord(c): str(unicodedata.digit(c)) for c in set(composed) if c.isdecimal()}
    return composed.translate(digits).translate(_PLAIN)


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
