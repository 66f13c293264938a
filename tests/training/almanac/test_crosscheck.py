"""The table of countries is well formed, and its cross-check finds what differs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from llm2vec_gen_rag.training.almanac import crosscheck

REAL_DATA = Path(__file__).parents[4] / "shared" / "data" / "countries"
COLUMNS = [
    *("country", "capital", "currency", "language", "region", "government", "driving_side"),
    *("internet_domain", "calling_code", "demonym"),
]
FRANCE = {
    "country": "France",
    "capital": "Paris",
    "currency": "euro",
    "language": "French",
    "region": "Western Europe",
    "government": "semi-presidential republic",
    "driving_side": "right",
}
CZECHIA = {
    "country": "Czechia",
    "capital": "Prague",
    "currency": "Czech koruna",
    "language": "Czech",
    "region": "Central Europe",
    "government": "parliamentary republic",
    "driving_side": "right",
}
THEIRS = {
    "capital": {"France": "PARIS", "Czech Republic": "Prague"},
    "currency": {"France": "Euro", "Czech Republic": "Koruna"},
    "language": {"France": ["Breton", "French"], "Czech Republic": ["Czech"]},
    "region": {"France": "Western Europe", "Czech Republic": "Eastern Europe"},
    "government": {"France": "Republic", "Czech Republic": "Republic"},
    "driving_side": {"France": "right", "Czech Republic": "right"},
}


def write_csv(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_settled(facts: Path, *rows: tuple[str, str, str, str, str]) -> None:
    columns = ["country", "attribute", "ours", "theirs", "reason"]
    write_csv(
        facts / "settled.csv", columns, [dict(zip(columns, row, strict=True)) for row in rows]
    )


def write_theirs(data: Path, attribute: str, values: dict[str, object]) -> None:
    source = next(s for s in crosscheck.SOURCES if s.attribute == attribute)
    entries = [{"country": country, source.key: value} for country, value in values.items()]
    (data / source.file).write_text(json.dumps(entries), encoding="utf-8")


@pytest.fixture
def facts(tmp_path):
    folder = tmp_path / "facts"
    folder.mkdir()
    write_csv(folder / "countries.csv", list(FRANCE), [CZECHIA, FRANCE])
    alias = {"country": "Czechia", "other_name": "Czech Republic"}
    write_csv(folder / "country_aliases.csv", list(alias), [alias])
    write_settled(folder)
    return folder


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for attribute, values in THEIRS.items():
        write_theirs(folder, attribute, values)
    return folder


def exit_code(data: Path, facts: Path) -> int:
    return crosscheck.main(["--data", str(data), "--facts", str(facts)])


@pytest.fixture(scope="module")
def countries():
    with (crosscheck.FACTS / "countries.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_country_once_and_no_empty_cell(countries):
    names = [row["country"] for row in countries]
    assert len(names) >= 205
    assert names == sorted(set(names))
    for row in countries:
        assert list(row) == COLUMNS
        assert all(cell and cell == cell.strip() for cell in row.values()), row


def test_domains_codes_and_sides_have_their_form(countries):
    for row in countries:
        assert re.fullmatch(r"\.[a-z]{2}", row["internet_domain"]), row
        assert re.fullmatch(r"\+\d{1,3}(-\d{3,4})?", row["calling_code"]), row
        assert row["driving_side"] in {"left", "right"}, row
    domains = [row["internet_domain"] for row in countries]
    assert len(domains) == len(set(domains))


def test_every_name_with_an_article_is_a_country(countries):
    lines = (crosscheck.FACTS / "country_articles.txt").read_text(encoding="utf-8").splitlines()
    assert set(lines) <= {row["country"] for row in countries}
    assert {"Netherlands", "United States"} <= set(lines)


def test_tables_that_agree_give_exit_code_0(data, facts, capsys):
    assert exit_code(data, facts) == 0
    summary = capsys.readouterr().out.split("\n\n")[-1].strip().splitlines()
    assert len(summary) == len(THEIRS)
    assert all("2 compared    0 not given    0 differ" in line for line in summary)


@pytest.mark.parametrize(
    ("attribute", "wrong"),
    [
        ("capital", "Lyon"),
        ("currency", "French Franc"),
        ("language", ["Breton", "Occitan"]),
        ("region", "Eastern Europe"),
        ("government", "Monarchy"),
        ("driving_side", "left"),
    ],
)
def test_a_planted_disagreement_is_found(data, facts, capsys, attribute, wrong):
    write_theirs(data, attribute, THEIRS[attribute] | {"France": wrong})
    assert exit_code(data, facts) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if "NOT SETTLED" in line]
    assert len(found) == 1
    assert found[0].split()[:2] == ["France", attribute]


def test_a_country_under_its_other_name_is_compared(data, facts, capsys):
    write_theirs(data, "capital", {"France": "Paris", "Czech Republic": "Brno"})
    assert exit_code(data, facts) == 1
    assert "Brno" in capsys.readouterr().out


def test_a_value_that_they_lack_is_counted_and_is_no_difference(data, facts, capsys):
    write_theirs(data, "currency", {"France": None})
    assert exit_code(data, facts) == 0
    assert "currency         0 compared    2 not given" in capsys.readouterr().out


def test_a_settled_disagreement_is_shown_with_its_reason(data, facts, capsys):
    write_theirs(data, "capital", {"France": "Lutetia"})
    write_settled(facts, ("France", "capital", "Paris", "Lutetia", "its Roman name"))
    assert exit_code(data, facts) == 0
    assert "its Roman name" in capsys.readouterr().out


def test_a_settlement_of_another_value_does_not_count(data, facts):
    write_theirs(data, "capital", {"France": "Lyon"})
    write_settled(facts, ("France", "capital", "Paris", "Lutetia", "its Roman name"))
    assert exit_code(data, facts) == 1


def test_a_settlement_that_settles_nothing_is_reported(data, facts, capsys):
    write_settled(facts, ("France", "capital", "Paris", "Lutetia", "its Roman name"))
    assert exit_code(data, facts) == 1
    assert "SETTLES NOTHING" in capsys.readouterr().out


def test_a_settlement_needs_a_reason(data, facts):
    write_settled(facts, ("France", "capital", "Paris", "Lutetia", ""))
    with pytest.raises(ValueError, match="has no reason"):
        exit_code(data, facts)


def test_a_folder_without_the_data_set_is_refused(tmp_path, facts, capsys):
    with pytest.raises(SystemExit) as stopped:
        exit_code(tmp_path, facts)
    assert stopped.value.code == 2
    assert "lacks capital-city.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        ("Malawian kwacha", "Malawi Kwacha", True),
        ("Congolese franc", "Franc Congolais", True),
        ("Kazakhstani tenge", "Tenge", True),
        ("United States dollar", "US Dollar", True),
        ("West African CFA franc", "CFA Franc BEAC", False),
        ("Tunisian dinar", "Tunisian Dollar", False),
        ("Australian dollar", "New Zealand Dollar", False),
    ],
)
def test_currencies_are_compared_by_stem(ours, theirs, agrees):
    assert crosscheck.same_currency(ours, theirs) is agrees


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        ("theocracy", "Islamic Emirate", True),
        ("constitutional monarchy", "Monarchy (Emirate)", True),
        ("dependent territory", "US Territory", True),
        ("federal republic", "Monarchy", False),
        ("unheard of", "never seen", False),
    ],
)
def test_governments_are_compared_by_class(ours, theirs, agrees):
    assert crosscheck.same_class_of_government(ours, theirs) is agrees


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="../shared/data/countries is absent")
def test_every_disagreement_with_the_real_data_is_settled():
    assert exit_code(REAL_DATA, crosscheck.FACTS) == 0
