"""The hand-written tables of facts are whole, distinct, and joined to the table of countries."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

FACTS = Path(__file__).parents[3] / "training" / "almanac" / "facts"


@dataclass(frozen=True)
class Table:
    """What one table must hold; its first column is the key."""

    name: str
    minimum_rows: int
    required: tuple[str, ...]
    optional: tuple[str, ...]
    distinct: tuple[str, ...]
    country: str
    minimum_countries: int

    @property
    def key(self) -> str:
        return self.required[0]


ELEMENTS = Table(
    name="elements",
    minimum_rows=100,
    required=("element", "symbol", "atomic_number", "category", "state", "use"),
    optional=("discovery_country", "named_after"),
    distinct=("element", "symbol", "use"),
    country="discovery_country",
    minimum_countries=10,
)
LANDMARKS = Table(
    name="landmarks",
    minimum_rows=60,
    required=("landmark", "kind", "city", "country", "known_for"),
    optional=("article", "built"),
    distinct=("landmark", "known_for"),
    country="country",
    minimum_countries=50,
)
WORKS = Table(
    name="works",
    minimum_rows=60,
    required=("work", "kind", "maker", "maker_country", "year", "about"),
    optional=("article",),
    distinct=("work", "about"),
    country="maker_country",
    minimum_countries=50,
)
ANIMALS = Table(
    name="animals",
    minimum_rows=60,
    required=("animal", "class", "diet", "habitat", "trait"),
    optional=("country", "young", "group"),
    distinct=("animal", "habitat", "trait"),
    country="country",
    minimum_countries=50,
)
TABLES = (ELEMENTS, LANDMARKS, WORKS, ANIMALS)
every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)

# a year, a century or a millennium, as it stands after "dates from"
DATE = re.compile(r"\d{1,4}|the \d{2,3}0s|the \d{1,2}(st|nd|rd|th) (century|millennium)( BC)?")


def read(name: str) -> list[dict[str, str]]:
    with (FACTS / f"{name}.csv").open(encoding="ascii", newline="") as file:
        return list(csv.DictReader(file, strict=True, restkey="surplus cells", restval="missing"))


def filled(rows: list[dict[str, str]], column: str) -> list[str]:
    return [row[column] for row in rows if row[column]]


@every_table
def test_every_row_has_exactly_the_columns_of_its_table(table: Table) -> None:
    rows = read(table.name)
    assert len(rows) >= table.minimum_rows
    columns = {*table.required, *table.optional}
    assert [row for row in rows if set(row) != columns or "missing" in row.values()] == []


@every_table
def test_required_cells_are_filled(table: Table) -> None:
    rows = read(table.name)
    empty = [
        (row[table.key], column) for row in rows for column in table.required if not row[column]
    ]
    assert empty == []


@every_table
def test_cells_read_well_inside_a_sentence(table: Table) -> None:
    cells = [cell for row in read(table.name) for cell in row.values() if cell]
    # the sentence brings its own spacing and full stop
    assert [cell for cell in cells if cell != " ".join(cell.split()) or cell.endswith(".")] == []


@every_table
def test_what_tells_two_rows_apart_occurs_once(table: Table) -> None:
    rows = read(table.name)
    for column in table.distinct:
        counts = Counter(cell.lower() for cell in filled(rows, column))
        assert {cell: count for cell, count in counts.items() if count > 1} == {}


@every_table
def test_countries_are_those_of_the_table_of_countries(table: Table) -> None:
    known = {row["country"] for row in read("countries")}
    named = set(filled(read(table.name), table.country))
    assert named - known == set()
    assert len(named) >= table.minimum_countries


def test_no_name_is_shared_between_two_tables() -> None:
    names = Counter(row[table.key].lower() for table in TABLES for row in read(table.name))
    assert [name for name, count in names.items() if count > 1] == []


def test_atomic_numbers_count_up_from_one() -> None:
    rows = read("elements")
    assert [row["atomic_number"] for row in rows] == [str(n) for n in range(1, len(rows) + 1)]


def test_symbols_of_elements_look_like_symbols() -> None:
    symbols = filled(read("elements"), "symbol")
    assert [symbol for symbol in symbols if not re.fullmatch("[A-Z][a-z]?", symbol)] == []


def test_states_and_kinds_come_from_their_short_lists() -> None:
    assert set(filled(read("elements"), "state")) == {"solid", "liquid", "gas"}
    assert set(filled(read("works"), "kind")) == {"invention", "book", "painting", "music"}
    articles = filled(read("landmarks"), "article") + filled(read("works"), "article")
    assert set(articles) == {"the"}


def test_there_are_enough_inventions_and_books() -> None:
    kinds = Counter(filled(read("works"), "kind"))
    assert kinds["invention"] >= 30
    assert kinds["book"] >= 30


@pytest.mark.parametrize(("name", "column"), [("landmarks", "built"), ("works", "year")])
def test_dates_are_a_year_or_an_age(name: str, column: str) -> None:
    assert [date for date in filled(read(name), column) if not DATE.fullmatch(date)] == []
