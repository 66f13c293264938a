"""Texts that a command reads, one a line."""

from __future__ import annotations

import sys
from pathlib import Path


def read_lines(source: str) -> list[str]:
    """Return the lines of a UTF-8 file, empty ones too; `-` reads standard input.

    Raises:
        ValueError: if there is no such file, or it is not UTF-8.
    """
    if source != "-" and not Path(source).is_file():
        raise ValueError(f"there is no file {source}; expected one text a line. Check the path.")
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{source} is not UTF-8 at byte {error.start}; expected one text a line. Convert it "
            "with its own encoding first, for example with iconv."
        ) from error
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]
