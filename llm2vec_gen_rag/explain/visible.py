"""Texts, tokens and their numbers as a person reads them."""

from __future__ import annotations

from llm2vec_gen_rag.explain.findings import LikelyToken

_SHOWN_AS = {"\n": "⏎", "\r": "⏎", "\t": "⇥", " ": "␣"}
_LARGEST_LIFT = 1e6


def one_line(text: str) -> str:
    """Return the text with spaces for line ends and for what would drive a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def word(token: LikelyToken) -> str:
    """Return a token without the space that precedes a word; white space alone as symbols."""
    text = token.text.strip(" ") or token.text
    if not text.strip():
        return "".join(_SHOWN_AS.get(char, "␣") for char in text)
    return one_line(text.replace("\n", "⏎").replace("\t", "⇥"))


def percent(probability: float) -> str:
    """Return a probability in percent, with two digits below ten."""
    if probability >= 0.0995:
        return f"{probability:.0%}"
    return f"{100 * probability:.2g}%" if probability >= 0.0001 else "<0.01%"


def times(lift: float) -> str:
    """Return a lift as a factor, such as "x12"."""
    if lift >= _LARGEST_LIFT:
        return "x>1e6"
    rounded = float(f"{lift:.2g}")
    return f"x{rounded:,.0f}" if rounded >= 10 else f"x{rounded:g}"
