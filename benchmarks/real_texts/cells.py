"""Figures and texts as the cells of a table."""

from __future__ import annotations

SHOWN = 160  # characters of a decoded text or an answer


def small(middle: float, low: float, high: float) -> str:
    """Return a figure with its interval in small text."""
    return f"{middle:.3f} <sub>{low:.2f}–{high:.2f}</sub>"


def signed(middle: float, low: float, high: float) -> str:
    """Return a difference with its interval in small text."""
    return f"{middle:+.3f} <sub>{low:+.3f} to {high:+.3f}</sub>"


def in_words(middle: float, low: float, high: float) -> str:
    """Return a difference with its interval for a sentence."""
    return f"{middle:+.3f} (95 % interval {low:+.3f} to {high:+.3f})"


def literal(text: str) -> str:
    """Return the beginning of a text as a cell of a table, read literally."""
    line = " ".join(text.split())
    shown = line if len(line) <= SHOWN else line[:SHOWN].rstrip() + " …"
    return "".join(f"\\{c}" if c in "\\`*_[]|<>$#~" else c for c in shown)
