"""Compare the almanac's countries with an independent data set and report every difference.

    python -m llm2vec_gen_rag.training.almanac.crosscheck --data FOLDER

The data set is a folder of JSON lists, one attribute a file (`SOURCES`). Case, accents and
punctuation are ignored. Beyond that, an attribute is compared as far as both vocabularies allow:

- capital, driving side: the same words.
- currency: the same words by their first four letters ("Malawi Kwacha" is the Malawian kwacha), or
  the unit alone ("Tenge"). This cannot tell apart two currencies whose names begin alike.
- language: ours is among the languages listed there.
- region: ours is within theirs (`REGIONS`), which has no Central Europe and no Caucasus.
- government: by class alone, monarchy, republic, theocracy or dependency
  (`WORDS_OF_GOVERNMENT`), since theirs calls most countries just "Republic". Whether a republic
  is presidential, federal or ruled by its army is therefore *not* checked here.

Countries have other names there: `facts/country_aliases.csv`. A value that they lack is counted
and not compared. A difference in which we keep our value is listed with its reason in
`facts/settled.csv`. The exit code is 1 if a difference is not settled there, or if a row there no
longer settles anything.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

FACTS = Path(__file__).parent / "facts"
LIST_SEPARATOR = "; "

OTHER_CURRENCY_NAMES = {
    "us dollar": "united states dollar",
    "cfa franc bceao": "west african cfa franc",
    "cfa franc beac": "central african cfa franc",
}
REGIONS = {
    "Australia and New Zealand": {"Australasia"},
    "Baltic Countries": {"Northern Europe"},
    "British Isles": {"Western Europe"},
    "Caribbean": {"the Caribbean"},
    "Central and Southeast Europe": {"Central Europe", "Southeast Europe"},
    "Eastern Africa": {"East Africa"},
    "Eastern Asia": {"East Asia"},
    "Eastern Europe": {"Central Europe", "Eastern Europe", "Southeast Europe"},
    "Middle East": {"the Caucasus", "the Middle East"},
    "Nordic Countries": {"Northern Europe"},
    "Northern Africa": {"North Africa"},
    "Southern Asia": {"South Asia"},
    "Southern Europe": {"Southeast Europe", "Southern Europe"},
    "Southern and Central Asia": {"Central Asia", "South Asia"},
    "Western Africa": {"West Africa"},
    "Western Europe": {"Central Europe", "Western Europe"},
}
# the first class with a word that occurs wins: an "Islamic Emirate" is no monarchy
WORDS_OF_GOVERNMENT = {
    "theocracy": ("theocracy", "church", "islamic emirate"),
    "dependency": ("territory", "part of", "commonwealth", "administrated", "autonomous"),
    "monarchy": ("monarchy", "emirate", "coprincipality"),
    "republic": ("republic", "state", "federation"),
}


@dataclass(frozen=True)
class Difference:
    """One attribute of one country on which the two tables differ."""

    country: str
    attribute: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Source:
    """Where the other data set keeps an attribute, and when its value agrees with ours."""

    attribute: str
    file: str
    key: str
    agrees: Callable[[str, str], bool]


def plain(text: str) -> str:
    """Return the text in lower case, without accents and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.replace("-", " ")).lower()
    return " ".join("".join(c for c in decomposed if c.isalnum() or c == " ").split())


def same_words(ours: str, theirs: str) -> bool:
    """Return whether the two are equal, ignoring case, accents and punctuation."""
    return plain(ours) == plain(theirs)


def same_currency(ours: str, theirs: str) -> bool:
    """Return whether the stems are the same, or theirs names the unit alone."""
    stems = currency_stems(ours)
    return set(currency_stems(theirs)) in (set(stems), {stems[-1]})


def currency_stems(name: str) -> list[str]:
    """Return the first four letters of each word, without "new", which marks a reform."""
    known = OTHER_CURRENCY_NAMES.get(plain(name), plain(name))
    return [word[:4] for word in known.split() if word not in {"new", "nuevo"}]


def listed_language(ours: str, theirs: str) -> bool:
    """Return whether ours is one of the languages listed there."""
    return any(same_words(ours, language) for language in theirs.split(LIST_SEPARATOR))


def within_region(ours: str, theirs: str) -> bool:
    """Return whether ours is the region there, or part of it by `REGIONS`."""
    return same_words(ours, theirs) or ours in REGIONS.get(theirs, set())


def same_class_of_government(ours: str, theirs: str) -> bool:
    """Return whether both are in one class; a form without a known word is in none."""
    return class_of_government(ours) == class_of_government(theirs) is not None


def class_of_government(form: str) -> str | None:
    """Return "monarchy", "republic", "theocracy", "dependency", or None without a known word."""
    classes = WORDS_OF_GOVERNMENT.items()
    return next((c for c, words in classes if any(word in plain(form) for word in words)), None)


SOURCES = (
    Source("capital", "capital-city.json", "city", same_words),
    Source("currency", "currency-name.json", "currency_name", same_currency),
    Source("language", "languages.json", "languages", listed_language),
    Source("region", "region-in-world.json", "location", within_region),
    Source("government", "government-type.json", "government", same_class_of_government),
    Source("driving_side", "driving-side.json", "side", same_words),
)


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header."""
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def read_source(folder: Path, source: Source) -> dict[str, str]:
    """Return their value by their name of the country; lists are joined, nulls skipped."""
    entries = json.loads((folder / source.file).read_text(encoding="utf-8"))
    values = {entry["country"]: entry[source.key] for entry in entries}
    return {
        country: LIST_SEPARATOR.join(value) if isinstance(value, list) else str(value).strip()
        for country, value in values.items()
        if value
    }


def first_values(theirs: str, limit: int = 3) -> str:
    """Return a list of values, shortened for the report."""
    values = theirs.split(LIST_SEPARATOR)
    return LIST_SEPARATOR.join(values if len(values) <= limit else [*values[:limit], "..."])


def compare(
    countries: Sequence[dict[str, str]],
    other_names: dict[str, list[str]],
    data: Path,
    source: Source,
) -> tuple[list[Difference], int]:
    """Return the differences in one attribute, and how many countries have it in both tables."""
    values = read_source(data, source)
    differences, compared = [], 0
    for row in countries:
        names = [row["country"], *other_names.get(row["country"], [])]
        theirs = next((values[name] for name in names if name in values), None)
        if theirs is None:
            continue
        compared += 1
        ours = row[source.attribute]
        if not source.agrees(ours, theirs):
            shown = first_values(theirs)
            differences.append(Difference(names[0], source.attribute, ours, shown))
    return differences, compared


def read_other_names(path: Path) -> dict[str, list[str]]:
    """Return the names of each country in the other data set."""
    names: dict[str, list[str]] = {}
    for row in read_table(path):
        names.setdefault(row["country"], []).append(row["other_name"])
    return names


def read_settled(path: Path) -> dict[Difference, str]:
    """Return why we keep our value, by difference.

    Args:
        path: of `settled.csv`.

    Returns:
        A reason for each difference.

    Raises:
        ValueError: if a row gives no reason.
    """
    settled = {}
    for row in read_table(path):
        reason = row.pop("reason")
        if not reason:
            raise ValueError(f"{path}: {row} has no reason; expected why our value is kept")
        settled[Difference(**row)] = reason
    return settled


def table_line(d: Difference, verdict: str) -> str:
    """Return one line of the report."""
    return f"{d.country:32} {d.attribute:13} {d.ours:28} {d.theirs:48} {verdict}"


def report(data: Path, facts: Path) -> tuple[list[str], bool]:
    """Return the lines to print, and whether the differences are exactly those that are settled."""
    countries = read_table(facts / "countries.csv")
    other_names = read_other_names(facts / "country_aliases.csv")
    settled = read_settled(facts / "settled.csv")
    lines, summary, found = [], [], set()
    for source in SOURCES:
        differences, compared = compare(countries, other_names, data, source)
        found.update(differences)
        unsettled = [d for d in differences if d not in settled]
        lines += [table_line(d, settled.get(d, "NOT SETTLED")) for d in differences]
        summary.append(
            f"{source.attribute:13} {compared:4} compared {len(countries) - compared:4} not given "
            f"{len(differences):4} differ {len(unsettled):4} not settled"
        )
    lines += [table_line(d, "SETTLES NOTHING: remove it") for d in settled if d not in found]
    return [*lines, "", *summary], found == set(settled)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; return 0 if all is settled, 1 if not; exit with 2 if data is missing."""
    parser = argparse.ArgumentParser(description="Compare our countries with independent data.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the JSON files")
    parser.add_argument("--facts", type=Path, default=FACTS, help="folder of the almanac's tables")
    options = parser.parse_args(arguments)
    missing = [source.file for source in SOURCES if not (options.data / source.file).is_file()]
    if missing:
        parser.error(f"{options.data} lacks {', '.join(missing)}; pass the data set's folder")
    lines, all_settled = report(options.data, options.facts)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if all_settled else 1


if __name__ == "__main__":
    raise SystemExit(main())
