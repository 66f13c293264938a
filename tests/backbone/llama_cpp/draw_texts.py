"""Draw the real texts that llama.cpp's ids are recorded for: prose, code, words of many scripts.

    python draw_texts.py

in an environment of its own with CPython 3.11 and Babel 2.19. The texts are kept in
`real_texts.jsonl`, for the pages that they are from change. They are from this repository (MIT);
from CPython's tests (PSF licence), where test/cjkencodings has prose and test_codecs the sentences
of RFC 3492; and from Unicode's CLDR, which Babel brings (Unicode licence): a date, countries and a
number as each language writes them.
"""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
from pathlib import Path

import test
from babel import Locale, localedata
from babel.dates import format_datetime
from babel.numbers import format_decimal
from test.test_codecs import punycode_testcases

ROOT = Path(__file__).parents[3]
CPYTHON = Path(test.__file__).parent / "cjkencodings"
LONGEST = 72  # characters
PROSE, CODE, CELLS = 300, 270, 110
MOMENT = dt.datetime(2024, 11, 5, 14, 30)
COUNTRIES = ["JP", "EG", "BR", "GR"]


def paragraphs():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        yield from re.split(r"\n\s*\n", page.read_text(encoding="utf-8"))


def functions():
    for folder in ("llm2vec_gen_rag", "training", "benchmarks", "tests"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            source = file.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef):
                    yield ast.get_source_segment(source, node, padded=True)


def cells():
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            yield "".join(cell["source"])


def cpython_prose():
    for file in sorted(CPYTHON.glob("*-utf8.txt")):
        yield from (line for line in file.read_text(encoding="utf-8").split("\n") if len(line) > 20)
    yield from (text for text, _ in punycode_testcases)


def languages():
    """Yield a line for each language, and for each script that it is written in."""
    for name in sorted(localedata.locale_identifiers()):
        locale = Locale.parse(name)
        if locale.territory or locale.variant:
            continue
        day = format_datetime(MOMENT, "full", locale=locale)
        if "M11" in day:  # CLDR has no word of this language
            continue
        countries = ", ".join(locale.territories.get(code, code) for code in COUNTRIES)
        number = format_decimal(1234567.891, locale=locale, numbering_system="default")
        yield f"{day}: {countries}; {number}"


def drawn(texts, count=None):
    """Return so many of the texts, evenly spaced and cut to the longest length; None takes all."""
    distinct = list(dict.fromkeys(text[:LONGEST] for text in texts if text.strip()))
    if count is None:
        return distinct
    return [distinct[index * len(distinct) // count] for index in range(count)]


def main():
    texts = [
        *drawn(paragraphs(), PROSE),
        *drawn(functions(), CODE),
        *drawn(cells(), CELLS),
        *drawn(cpython_prose()),
        *drawn(languages()),
    ]
    lines = (json.dumps(text, ensure_ascii=False) + "\n" for text in dict.fromkeys(texts))
    (Path(__file__).parent / "real_texts.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
