"""One word is one word for hybrid search, however Unicode and typography write it."""

from __future__ import annotations

import time
import unicodedata

import pytest

from llm2vec_gen_rag.qdrant import Document
from llm2vec_gen_rag.qdrant.points.words import words_of

ONE_WORD = [
    "Zürich",
    "Łódź",
    "naïveté",
    "İstanbul",
    "தமிழ்",  # Tamil, with vowel signs and a pulli
    "हिन्दी",  # Hindi, with a virama
    "বাংলা",
    "كِتَابٌ",  # Arabic with its vowel signs
    "שָׁלוֹם",
    "が",
    "e\u0301\u0323",  # two marks in the order that is not canonical
    "ᾳ\u0301",
]


@pytest.mark.parametrize("word", ONE_WORD)
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_every_normal_form_is_one_and_the_same_word(word, form):
    (found,) = words_of(word)
    assert words_of(unicodedata.normalize(form, word)) == [found]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße, Größe; ÜBERMUT", ["strasse", "grösse", "übermut"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("v1.2.3", ["v1.2.3", "v1", "2", "3"]),
        ("1,000.5 and 3.14.", ["1,000.5", "1", "000", "5", "and", "3.14", "3", "14"]),
        ("__init__ ___", ["__init__", "init"]),
        ("l’eau", ["l'eau", "l", "eau"]),
        ("м'який", ["м'який", "м", "який"]),
        ("col·lapse", ["col·lapse", "col", "lapse"]),
        ("צה״ל", ["צה״ל", "צה", "ל"]),
        ("东京", ["东", "京", "东京"]),
        ("猫", ["猫"]),
        ("iPhoneを買う", ["iphone", "買", "を買", "買う"]),
        ("カメラ、レンズ", ["カメ", "メラ", "レン", "ンズ"]),
        ("한국어를 배우다", ["한국", "국어", "어를", "배우", "우다"]),
        ("ภาษาไทย", ["ภาษ", "าษา", "ษาไ", "าไท", "ไทย"]),
        ("ที่นี่", ["ที่นี่"]),  # two letters with their vowel signs and tones
        ("မြန်မာ။", ["မြန်မာ"]),
        ("2024年", ["2024", "年"]),
    ],
)
def test_each_language_is_cut_as_it_is_written(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize("text", ["ภาษาไทย", "한국어", "東京タワー", "ガギグ"])
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_every_normal_form_has_the_same_pieces(text, form):
    assert words_of(unicodedata.normalize(form, text)) == words_of(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("inter\u00adnational", "international"),  # a soft hyphen
        ("inter\u200bnational", "international"),  # a zero-width space
        ("inter\u2060national", "international"),  # a word joiner
        ("inter\ufeffnational", "international"),  # a byte order mark in the middle
        ("\u200fשלום\u200e", "שלום"),  # marks of direction
        ("می\u200cخواهم", "میخواهم"),  # Persian, with a zero-width non-joiner
        ("क\u094d\u200dष", "क\u094dष"),  # Hindi, with a zero-width joiner
        ("葛\U000e0100城", "葛城"),  # an ideograph's variant
        ("caf\u200be\u0301", "café"),  # hidden between a letter and its accent
        ("ＱＸ－７７１３１", "qx-77131"),
        ("ＱＸ＿７７", "qx_77"),
        ("ｶﾞｷﾞ", "ガギ"),  # half-width katakana
        ("ﬁnd", "find"),
        ("STRASSE", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Windows™", "windows tm"),
        ("№5", "no 5"),
        ("½", "1/2"),
        ("كتـــاب", "كتاب"),  # stretched
        ("٢٠٢٤", "2024"),
        ("३.१४", "3.14"),
        ("l’eau", "l'eau"),
        ("QX‑77131", "QX-77131"),  # a hyphen that does not break
        ("rock´n roll", "rock n roll"),  # an accent on its own is no part of a word
        ("x≠y", "x y"),
    ],
)
def test_what_readers_take_for_the_same_has_the_same_words(written, meant):
    assert words_of(written) == words_of(meant)


def test_accents_and_vowel_signs_distinguish_words():
    assert words_of("résumé") != words_of("resume")
    assert words_of("كِتَاب") != words_of("كُتَّاب")


def test_thirty_marks_on_one_letter_are_one_word_in_any_order_of_their_kinds():
    mixed, sorted_ = "e" + "\u0301\u0323" * 15, "e" + "\u0323" * 15 + "\u0301" * 15
    assert words_of(mixed) == words_of(sorted_)
    longer = "\u0301\u0323" * 50
    assert words_of(f"an e{longer}x y") == ["an", f"{words_of('e' + longer)[0]}x", "y"]


# of differing classes each; some are marks only once decomposed, and two are two at once
RUNS = ["\u0301\u0327", "\uff9e\u0f73", "\u0344\u0327", "\u0327\u200b\u0301\u034f"]


@pytest.mark.parametrize("marks", RUNS)
def test_the_time_for_a_run_of_marks_grows_with_its_length(marks):
    began = time.process_time()
    words_of("e" + marks * (240_000 // len(marks)))
    assert time.process_time() - began < 5  # seconds; sorted as one run, it takes 12 or more


def test_punctuation_still_cuts():
    assert words_of("E-1107: don't stop,now a_b 1️⃣") == [
        *("e-1107", "e", "1107", "don't", "don", "t", "stop", "now", "a_b", "a", "b", "1")
    ]
    assert words_of("") == words_of("!? \u200b\u0301") == []


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        (unicodedata.normalize("NFD", "Ein Café in Zürich."), "zürich"),
        ("Ein Café in Zürich.", unicodedata.normalize("NFD", "Zürich")),
        ("The inter\u00adnational code.", "international"),
        ("Part ＱＸ７７１３１ of the catalogue.", "qx77131"),
        ("من می\u200cخواهم", "میخواهم"),
        ("தமிழ் மொழி", "தமிழ்"),
        ("私は東京タワーへ行きました。", "東京タワー"),
        ("我家的猫在睡觉。", "猫"),
        ("เขาไปเที่ยวเชียงใหม่เมื่อวาน", "เชียงใหม่"),
        ("서울에서 만나요", "서울"),
        ("Call as_llama_index() there.", "llama index"),
        ("Fixed in v1.2.3 of it.", "v1.2.3"),
    ],
)
def test_hybrid_search_finds_the_word_in_its_other_spelling(collection, stored, typed):
    others = [Document(f"Part {i} of the catalogue.") for i in range(9)]
    collection.index([*others, Document(stored)])
    assert collection.hybrid_search(typed, k=1)[0].text == stored


def test_parts_of_a_word_in_a_script_with_vowel_signs_are_no_words(collection):
    collection.index([Document("தமிழ்", id="tamil"), Document("மழை", id="rain")])
    hits = collection.client.query_points(
        "notes", query=_words_alone("ம"), using="bm25", with_payload=True
    )
    assert hits.points == []


def _words_alone(text):
    from llm2vec_gen_rag.qdrant.points.bm25 import query_vector

    return query_vector(text)
