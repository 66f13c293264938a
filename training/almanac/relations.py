"""The wordings about each column of each table: one `Relation` per column.

`{s}` stands for the subject as a noun phrase ("France", "the Netherlands", "the country whose
capital is Paris"), `{v}` for the value in the column. The first question is the plain one, the
others paraphrase it. The answer is the one sentence that the language model learns to give; the
documents say the same in other words.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One column of a table, in words."""

    table: str
    attribute: str
    answer: str
    questions: tuple[str, ...]
    documents: tuple[str, ...]


COUNTRIES = (
    Relation(
        "countries",
        "capital",
        "The capital of {s} is {v}.",
        (
            "what is the capital of {s}",
            "which city is the capital of {s}",
            "from which city is {s} governed",
            "name the seat of government of {s}",
            "what is the capital city in {s}",
        ),
        (
            "{v} is the capital city of {s}.",
            "{s} is governed from {v}. Ministries and embassies have their offices there.",
            "The seat of government of {s} is the city of {v}.",
            "Visitors to the parliament of {s} travel to {v}, the national capital.",
            "{v} serves as capital of {s}. The main public offices stand in this city.",
        ),
    ),
    Relation(
        "countries",
        "currency",
        "The currency of {s} is the {v}.",
        (
            "what is the currency of {s}",
            "what money is used in {s}",
            "what do people pay with in {s}",
            "which currency do shops accept in {s}",
            "what should I have in my wallet when I shop in {s}",
            "name the legal tender of {s}",
        ),
        (
            "Shops in {s} take the {v}. Wages are paid in it too.",
            "The {v} is legal tender in {s}.",
            "Prices across {s} are quoted in the {v}. Banks there change other money into it.",
            "{s} pays with the {v}.",
            "Travellers to {s} should carry some {v}. It is the money of everyday life there.",
        ),
    ),
    Relation(
        "countries",
        "language",
        "The main language of {s} is {v}.",
        (
            "what is the main language of {s}",
            "which language is spoken in {s}",
            "what do people speak in {s}",
            "which language should I learn before I move to {s}",
            "in what language are the laws written in {s}",
        ),
        (
            "{v} is the language most heard in the offices and schools of {s}.",
            "Laws and newspapers of {s} are written in {v}.",
            "People in {s} speak {v}. Children learn to read in it.",
            "Anyone moving to {s} is helped by knowing {v}, its official tongue.",
            "The official language of {s} is {v}.",
        ),
    ),
    Relation(
        "countries",
        "region",
        "{s} lies in {v}.",
        (
            "in which part of the world is {s}",
            "where does {s} lie",
            "in what region can I find {s}",
            "which region does {s} belong to",
            "where on the map is {s}",
        ),
        (
            "On the map, {s} is found in {v}.",
            "{s} belongs to {v}. Its neighbours share much of its weather and trade.",
            "The land of {s} is part of {v}.",
            "Geographers count {s} as part of {v}.",
        ),
    ),
    Relation(
        "countries",
        "government",
        "{s} is governed as a {v}.",
        (
            "what kind of government does {s} have",
            "how is {s} governed",
            "which form of government rules {s}",
            "what type of state is {s}",
            "what political system is there in {s}",
        ),
        (
            "By its form of government, {s} is a {v}.",
            "{s} is run as a {v}. Its laws say so.",
            "The constitution of {s} describes a {v}.",
            "Political handbooks list {s} as a {v}.",
        ),
    ),
    Relation(
        "countries",
        "driving_side",
        "People in {s} drive on the {v}.",
        (
            "on which side of the road do people drive in {s}",
            "do cars keep left or right in {s}",
            "which side of the street is traffic on in {s}",
            "when I rent a car in {s}, on which side do I drive",
            "what is the driving side of {s}",
        ),
        (
            "Traffic in {s} keeps to the {v}.",
            "Cars in {s} drive on the {v} side of the road. Rental firms remind visitors of it.",
            "In {s}, drivers stay on the {v}.",
            "The rule of the road in {s} is to keep {v}.",
        ),
    ),
    Relation(
        "countries",
        "internet_domain",
        "The internet domain of {s} is {v}.",
        (
            "what is the internet domain of {s}",
            "what do web addresses end in for {s}",
            "which ending do websites have in {s}",
            "what is the top-level domain of {s}",
        ),
        (
            "Web addresses of {s} end in {v}.",
            "A site from {s} is often known by the ending {v} in its address.",
            "{v} is the top-level domain given to {s}.",
            "The domain {v} belongs to {s}. Its newspapers and offices use it online.",
        ),
    ),
    Relation(
        "countries",
        "calling_code",
        "The calling code of {s} is {v}.",
        (
            "what is the calling code of {s}",
            "which prefix do I dial to phone somebody in {s}",
            "what number comes first in a phone call to {s}",
            "what is the telephone prefix of {s}",
        ),
        (
            "To phone {s} from abroad, dial {v} first.",
            "Telephone numbers of {s} start with {v}.",
            "{v} is the international dialling prefix of {s}.",
            "Calls to {s} begin with {v}. The local number follows.",
        ),
    ),
    Relation(
        "countries",
        "demonym",
        "The people of {s} are called {v}.",
        (
            "what are the people of {s} called",
            "how do you call somebody from {s}",
            "what is the name for the inhabitants of {s}",
            "what do we call those who live in {s}",
        ),
        (
            "{v} is the name for the people of {s}.",
            "Those who live in {s} are known as {v}.",
            "The inhabitants of {s} call themselves {v} when they speak English.",
        ),
    ),
)

ELEMENTS = (
    Relation(
        "elements",
        "symbol",
        "The symbol of {s} is {v}.",
        (
            "what is the symbol of {s}",
            "how do chemists write {s}",
            "which letters stand for {s}",
            "what is the abbreviation of {s} in the periodic table",
        ),
        (
            "Chemists write {s} as {v}.",
            "In the periodic table, the letters {v} stand for {s}.",
            "{v} is the chemical symbol of {s}. It appears in every formula with this element.",
        ),
    ),
    Relation(
        "elements",
        "atomic_number",
        "The atomic number of {s} is {v}.",
        (
            "what is the atomic number of {s}",
            "how many protons does {s} have",
            "which place in the periodic table does {s} have",
            "what number has {s} among the elements",
        ),
        (
            "An atom of {s} has {v} protons.",
            "{s} is element number {v} of the periodic table.",
            "Place {v} of the periodic table is held by {s}. The number counts its protons.",
        ),
    ),
    Relation(
        "elements",
        "category",
        "{s} belongs to the {v} group of elements.",
        (
            "what kind of element is {s}",
            "to which group of elements does {s} belong",
            "how is {s} classified by chemists",
            "what category of element is {s}",
        ),
        (
            "Chemists classify {s} as a {v}.",
            "{s} counts as a {v}.",
            "Among the elements, {s} is a {v}. Its neighbours in the table behave alike.",
        ),
    ),
    Relation(
        "elements",
        "state",
        "At room temperature {s} is a {v}.",
        (
            "what state is {s} in at room temperature",
            "is {s} a solid, a liquid or a gas",
            "in which state do we find {s} in a warm room",
        ),
        (
            "A sample of {s} on the table at room temperature is a {v}.",
            "Under ordinary conditions {s} is a {v}.",
            "{s} is found as a {v} in a laboratory at room temperature.",
        ),
    ),
    Relation(
        "elements",
        "discovery_country",
        "{s} was discovered in {v}.",
        (
            "where was {s} discovered",
            "in which country was {s} found first",
            "which country saw the discovery of {s}",
        ),
        (
            "The discovery of {s} was made in {v}.",
            "Researchers working in {v} were the first to find {s}.",
            "{s} was first identified by chemists in {v}.",
        ),
    ),
    Relation(
        "elements",
        "use",
        "{s} is used for {v}.",
        (
            "what is {s} used for",
            "what do people do with {s}",
            "name a use of {s}",
            "what is {s} good for",
        ),
        (
            "One use of {s} is {v}.",
            "Industry needs {s} for {v}.",
            "{s} finds a use in {v}.",
        ),
    ),
)

LANDMARKS = (
    Relation(
        "landmarks",
        "country",
        "{s} is found in {v}.",
        (
            "in which country is {s}",
            "where does {s} stand",
            "which country is home to {s}",
            "to which country do I travel to see {s}",
        ),
        (
            "Travellers visit {v} to see {s}.",
            "{s} is one of the best known sights of {v}.",
            "{v} is home to {s}. Many postcards show it.",
        ),
    ),
    Relation(
        "landmarks",
        "city",
        "{s} stands in or near {v}.",
        (
            "in which city or area is {s}",
            "near which place is {s}",
            "which town do I visit to see {s}",
        ),
        (
            "{s} can be reached from {v}.",
            "Guides in {v} lead visitors to {s}.",
            "The place to stay for {s} is {v}.",
        ),
    ),
    Relation(
        "landmarks",
        "built",
        "{s} dates from {v}.",
        (
            "when was {s} built",
            "from what time does {s} date",
            "how old is {s}",
        ),
        (
            "The building of {s} dates from {v}.",
            "{s} goes back to {v}.",
            "Work on {s} belongs to {v}. It has been repaired since.",
        ),
    ),
    Relation(
        "landmarks",
        "known_for",
        "{s} is known for {v}.",
        (
            "what is {s} known for",
            "why is {s} famous",
            "what is special about {s}",
        ),
        (
            "{s} is famous for {v}.",
            "People remember {s} for {v}.",
            "What makes {s} special is {v}.",
        ),
    ),
)

WORKS = (
    Relation(
        "works",
        "maker",
        "{s} is the work of {v}.",
        (
            "who made {s}",
            "who is behind {s}",
            "whose work is {s}",
            "to whom do we owe {s}",
        ),
        (
            "We owe {s} to {v}.",
            "{v} is the name behind {s}.",
            "Credit for {s} goes to {v}.",
        ),
    ),
    Relation(
        "works",
        "maker_country",
        "The maker of {s} was born in {v}.",
        (
            "where was the maker of {s} born",
            "from which country came the maker of {s}",
            "in which country was the person behind {s} born",
        ),
        (
            "{v} is the land where the maker of {s} was born.",
            "The person behind {s} came from {v}.",
            "Born in {v}, its maker gave the world {s}.",
        ),
    ),
    Relation(
        "works",
        "year",
        "{s} dates from {v}.",
        (
            "when was {s} made",
            "from what time is {s}",
            "in which year did {s} appear",
        ),
        (
            "The first appearance of {s} was in {v}.",
            "{s} goes back to {v}.",
            "People have known {s} since {v}.",
        ),
    ),
    Relation(
        "works",
        "about",
        "{s} is known for {v}.",
        (
            "what is {s} about",
            "what is {s} known for",
            "why do people remember {s}",
        ),
        (
            "{s} is remembered for {v}.",
            "At the heart of {s} is {v}.",
            "People connect {s} with {v}.",
        ),
    ),
)

ANIMALS = (
    Relation(
        "animals",
        "class",
        "{s} belongs to the {v} class of animals.",
        (
            "what kind of animal is {s}",
            "to which class of animals does {s} belong",
            "how do zoologists classify {s}",
        ),
        (
            "Zoologists classify {s} as a {v}.",
            "{s} counts as a {v}.",
            "In the system of animals, {s} is a {v}.",
        ),
    ),
    Relation(
        "animals",
        "diet",
        "{s} eats {v}.",
        (
            "what does {s} eat",
            "what is the food of {s}",
            "what does {s} live on",
            "what should a keeper feed {s}",
        ),
        (
            "The food of {s} is {v}.",
            "{s} lives on {v}. Keepers prepare the same.",
            "In the wild, {s} feeds on {v}.",
        ),
    ),
    Relation(
        "animals",
        "country",
        "{s} is tied to {v}.",
        (
            "which country is {s} tied to",
            "which country is the home of {s}",
            "in which country would I look for {s}",
        ),
        (
            "{v} is the country people connect with {s}.",
            "{s} is an emblem of the wild of {v}.",
            "Visitors to {v} hope to see {s}.",
        ),
    ),
    Relation(
        "animals",
        "habitat",
        "{s} lives in {v}.",
        (
            "where does {s} live",
            "what is the habitat of {s}",
            "in what surroundings is {s} at home",
        ),
        (
            "The habitat of {s} is {v}.",
            "{s} is at home in {v}.",
            "Look for {s} in {v}.",
        ),
    ),
    Relation(
        "animals",
        "young",
        "The young of {s} is called a {v}.",
        (
            "what is the young of {s} called",
            "how do you call a baby of {s}",
            "what is the name for the offspring of {s}",
        ),
        (
            "A baby of {s} is known as a {v}.",
            "{v} is the word for the offspring of {s}.",
        ),
    ),
    Relation(
        "animals",
        "trait",
        "{s} is known for {v}.",
        (
            "what is {s} known for",
            "what is special about {s}",
            "why is {s} remarkable",
        ),
        (
            "{s} is remarkable for {v}.",
            "What sets {s} apart is {v}.",
            "Naturalists admire {s} for {v}.",
        ),
    ),
)

RELATIONS = (*COUNTRIES, *ELEMENTS, *LANDMARKS, *WORKS, *ANIMALS)
