"""Words of a page as they are searched: what typesetting made of them is undone.

Ligatures become letters, and a word that is hyphenated at a line's end is joined, as poppler and
PDFium join it. A compound such as ``well-known`` loses its hyphen if it is broken there.
"""

from __future__ import annotations

import re

_LIGATURES = str.maketrans(
    {
        "\ufb00": "ff",
        "\ufb01": "fi",
        "\ufb02": "fl",
        "\ufb03": "ffi",
        "\ufb04": "ffl",
        "\ufb05": "st",
        "\ufb06": "st",
    }
)
# one hyphen: neither an option such as --dry-run nor a name such as state-of-the-art is joined
_HYPHENATED = re.compile(r"(?<![\w\-])(?P<begin>[^\W\d_]+)[-\u00ad][ \t]*\n(?=(?P<end>[^\W\d_]))")


def whole_words(page: str) -> str:
    """Return the text of a page without ligatures and without hyphenation."""
    return _HYPHENATED.sub(_joined, page.translate(_LIGATURES))


def _joined(found: re.Match[str]) -> str:
    """Return the word's beginning; as it is before a capital, as in Saint-Denis."""
    return found["begin"] if found["end"].islower() else found[0]
