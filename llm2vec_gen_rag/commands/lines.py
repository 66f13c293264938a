"""Texts that a command reads, one a line."""

from __future__ import annotations

import sys
from pathlib import Path

from llm2vec_gen_rag.files import text_lines


def read_lines(source: str) -> list[str]:
    """Return the lines of a UTF-8 file, empty ones too.

    Args:
        source: a path; `-` reads standard input.

    Returns:
        The lines, without their ends.

    Raises:
        ValueError: if there is no such file, or it is not UTF-8.
    """
    if source == "-":
        return text_lines(sys.stdin.buffer.read(), source)
    if not Path(source).is_file():
        raise ValueError(f"there is no file {source}; expected one text a line. Check the path.")
    return text_lines(Path(source).read_bytes(), source)
