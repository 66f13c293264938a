"""The almanac's tables of facts and safety texts, read from the files beside this module."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.files import read_json_lines

FACTS = Path(__file__).parent / "facts"
KEY_COLUMN = {
    "countries": "country",
    "elements": "element",
    "landmarks": "landmark",
    "works": "work",
    "animals": "animal",
}
COUNTRY_COLUMNS = {"country", "discovery_country", "maker_country"}


@dataclass(frozen=True)
class Subject:
    """One row of a table: its key, a noun phrase for it, and its columns."""

    table: str
    name: str
    phrase: str
    values: dict[str, str]


def read_csv(name: str, folder: Path = FACTS) -> list[dict[str, str]]:
    """Return the rows of one table, cells stripped."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v.strip() for k, v in row.items()} for row in csv.DictReader(file)]


def read_jsonl(name: str, folder: Path = FACTS) -> list[dict[str, Any]]:
    """Return the objects of one JSON Lines file."""
    return [row for _, row in read_json_lines(folder / f"{name}.jsonl")]


def subjects(folder: Path = FACTS) -> Iterator[Subject]:
    """Yield every row of every table of facts, countries first."""
    with_article = set((folder / "country_articles.txt").read_text(encoding="utf-8").split("\n"))
    for table, key in KEY_COLUMN.items():
        for row in read_csv(table, folder):
            values = {
                column: _country_phrase(value, with_article) if column in COUNTRY_COLUMNS else value
                for column, value in row.items()
                if column not in (key, "article")
            }
            yield Subject(table, row[key], _phrase(table, row, with_article), values)


def _phrase(table: str, row: dict[str, str], with_article: set[str]) -> str:
    name = row[KEY_COLUMN[table]]
    if table == "countries":
        return _country_phrase(name, with_article)
    if table == "animals":
        return f"the {name}"
    article = row.get("article", "")
    return f"{article} {name}" if article else name


def _country_phrase(name: str, with_article: set[str]) -> str:
    return f"the {name}" if name in with_article else name
