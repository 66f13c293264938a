"""References to a subject: by its name, or through a bridge of one or two other facts.

"France" is a direct reference; "the country whose capital is Paris" needs one fact more, "the
country where the inventor of the photograph was born" two. Bridges are composed, so that each
subject has many and each (subject, attribute, bridge) can be held out on its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .tables import Subject

DIRECT = "name"
MAKER = {"invention": "inventor", "book": "author", "painting": "painter", "music": "composer"}


@dataclass(frozen=True)
class Reference:
    """A noun phrase for a subject.

    Attributes:
        subject: table and key of the subject.
        text: the noun phrase, for the `{s}` of a relation's question.
        bridge: the fact that the phrase uses, such as "capital" or "landmark:Eiffel Tower".
        facts: facts needed beyond the subject's own: 0 for its name.
        reveals: the attribute that the phrase states, never asked for with it.
    """

    subject: tuple[str, str]
    text: str
    bridge: str
    facts: int
    reveals: str = ""


def references(subjects: Iterable[Subject]) -> list[Reference]:
    """Return every reference to every subject, direct ones first."""
    rows = list(subjects)
    names = {s.phrase: s.name for s in rows if s.table == "countries"}
    found = [Reference((s.table, s.name), s.phrase, DIRECT, 0) for s in rows]
    found += _own_attribute_references(rows)
    for subject in rows:
        for country_column, phrase, bridge, facts in _country_bridges(subject):
            country = names.get(subject.values.get(country_column, ""))
            if country is not None:
                found.append(Reference(("countries", country), phrase, bridge, facts))
    return found


OWN_ATTRIBUTES: tuple[tuple[str, str, Callable[[Subject], str]], ...] = (
    ("countries", "capital", lambda s: f"the country whose capital is {s.values['capital']}"),
    (
        "countries",
        "internet_domain",
        lambda s: f"the country whose websites end in {s.values['internet_domain']}",
    ),
    (
        "countries",
        "calling_code",
        lambda s: f"the country one dials with {s.values['calling_code']}",
    ),
    ("elements", "symbol", lambda s: f"the element with the symbol {s.values['symbol']}"),
    (
        "elements",
        "atomic_number",
        lambda s: f"the element with atomic number {s.values['atomic_number']}",
    ),
    (
        "landmarks",
        "known_for",
        lambda s: f"the {s.values['kind']} known for {s.values['known_for']}",
    ),
    ("works", "about", lambda s: f"the {s.values['kind']} known for {s.values['about']}"),
    ("animals", "trait", lambda s: f"the animal known for {s.values['trait']}"),
)


def _own_attribute_references(rows: list[Subject]) -> list[Reference]:
    """Return references by one of a subject's own values, if no other subject has that value."""
    found = []
    for table, attribute, phrase in OWN_ATTRIBUTES:
        members = [s for s in rows if s.table == table and s.values.get(attribute)]
        counts = Counter(s.values[attribute] for s in members)
        found += [
            Reference((table, s.name), phrase(s), attribute, 1, reveals=attribute)
            for s in members
            if counts[s.values[attribute]] == 1
        ]
    return found


def _country_bridges(subject: Subject) -> list[tuple[str, str, str, int]]:
    """Return (column of the country, noun phrase, bridge, facts needed) for one subject."""
    name, values = subject.phrase, subject.values
    if subject.table == "landmarks":
        return [
            ("country", f"the country where {name} stands", f"landmark:{subject.name}", 1),
            (
                "country",
                f"the country with the {values['kind']} known for {values['known_for']}",
                f"landmark-trait:{subject.name}",
                2,
            ),
        ]
    if subject.table == "animals":
        return [("country", f"the country tied to {name}", f"animal:{subject.name}", 1)]
    if subject.table == "works":
        maker = MAKER[values["kind"]]
        phrase = f"the country where the {maker} of {name} was born"
        return [("maker_country", phrase, f"work:{subject.name}", 2)]
    if subject.table == "elements":
        by_symbol = (
            f"the country where the element with the symbol {values['symbol']} was discovered"
        )
        return [
            (
                "discovery_country",
                f"the country where {name} was discovered",
                f"element:{subject.name}",
                1,
            ),
            ("discovery_country", by_symbol, f"element-symbol:{subject.name}", 2),
        ]
    return []
