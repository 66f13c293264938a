"""A filter asks for what its metadata holds, whatever its names and values are."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum

import numpy as np
import pytest
from langchain_qdrant import RetrievalMode
from llama_index.core import VectorStoreIndex
from qdrant_client import models

from llm2vec_gen_rag.commands.search import condition, conditions
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document

NAMES = [
    *("file.name", ".", "a.b.c", "a[0]", "a[]", "[", "]", "a/b", "two words", " ", "@id", "$ref"),
    *(
        "",
        "#",
        "it's",
        "naïve",
        "名前",
        "k:v",
        "a,b",
        "tab\tnew\nline",
        "x-y_z",
        "0",
        "*",
        "=",
        "🙂",
    ),
    *("metadata", "page_content", "metadata.lang", "_node_content", "doc_id", "_llm2vec_gen"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_key_and_no_path(collection, name):
    collection.index(
        [
            Document("right", metadata={name: "yes", "other": 1}),
            Document("wrong", metadata={name: "no", "other": 1}),
            Document("none", metadata={"a": ["yes"], "file": {"name": "yes"}, "other": 1}),
        ]
    )
    found = collection.search("x", filter={name: "yes", "other": 1})
    assert [hit.text for hit in found] == ["right"]
    assert [hit.text for hit in collection.hybrid_search("x", filter={name: "yes"})] == ["right"]


@pytest.mark.parametrize("name", ['say "hi"', '"', "back\\slash", "\\"])
def test_a_name_that_no_path_can_hold_is_refused(collection, name):
    collection.index([Document("kept", metadata={name: "yes"})])
    with pytest.raises(ValueError, match="no path of Qdrant's can hold"):
        collection.search("x", filter={name: "yes"})
    assert collection.search("x")[0].metadata == {name: "yes"}


class Language(str, Enum):
    GERMAN = "de"


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (1.5, 1.5),
        (-0.25, -0.25),
        (2, 2.0),
        (2.0, 2),
        (0, 0),
        (2**53 + 1, 2**53 + 1),
        (2**63 - 1, 2**63 - 1),
        (3, np.int64(3)),
        (1.5, np.float64(1.5)),
        (None, None),
        (True, True),
        (False, False),
        ("de", Language.GERMAN),
        ("", ""),
        ("b", ["a", "b"]),
        ("b", ("a", "b")),
        ("b", {"a", "b"}),
        (2, [1, 2]),
        (1.5, ["x", None, 1.5]),
        (None, ["x", None]),
        (["a", "b"], "b"),
        (["a", "b"], ["b", "c"]),
        (5, models.Range(gt=4, lte=5)),
        ("2024-05-01", date(2024, 5, 1)),
        ("2024-05-01T23:59:59Z", date(2024, 5, 1)),
        ("2024-05-01T12:00:00Z", datetime(2024, 5, 1, 12)),
        ("2024-05-01T12:00:00+02:00", datetime(2024, 5, 1, 10, tzinfo=timezone.utc)),
        ("9999-12-31", date(9999, 12, 31)),
        ("2024-05-01", models.DatetimeRange(gte=datetime(2024, 1, 1))),
    ],
)
def test_a_value_finds_itself_and_no_other(collection, stored, asked):
    different = [3.25, 2**53, "2023-01-01", "other", [], {}, ["z"]]
    documents = [Document(f"no {i}", metadata={"v": value}) for i, value in enumerate(different)]
    collection.index([Document("right", metadata={"v": stored}), *documents, Document("absent")])
    assert [hit.text for hit in collection.search("x", filter={"v": asked})] == ["right"]


def test_true_is_not_one_and_one_is_not_true(collection):
    collection.index(Document(str(v), metadata={"v": v}) for v in (True, 1, False, 0))
    for value in (True, 1, False, 0):
        assert [hit.text for hit in collection.search("x", filter={"v": value})] == [str(value)]


@pytest.mark.parametrize("nothing", [[], (), set()])
def test_one_of_no_values_finds_nothing(collection, nothing):
    collection.index([Document("a", metadata={"tenant": "x"}), Document("b")])
    assert collection.search("x", filter={"tenant": nothing}) == []


@pytest.mark.parametrize(
    "value",
    [
        *(
            math.nan,
            math.inf,
            np.float64("nan"),
            2**63,
            -(2**70),
            b"bytes",
            object(),
            Decimal("1.5"),
        ),
        *({"nested": 1}, {"gte": 1}, [["a"]], [{}], [math.nan], range(3), Counter(a=1)),
        models.MatchValue(value=1),
    ],
)
def test_a_value_that_cannot_be_looked_for_is_refused_with_the_filters_name(collection, value):
    with pytest.raises(ValueError, match=r"filter 'price' is .*; expected a string"):
        collection.search("x", filter={"price": value})


@pytest.mark.parametrize("asked", ["lang=en", ["lang"], [("lang", "en")], 3])
def test_what_is_no_mapping_is_refused(collection, asked):
    with pytest.raises(ValueError, match=r"filter is a .*; expected a mapping"):
        collection.search("x", filter=asked)


def test_lone_surrogates_and_names_that_are_no_strings_are_refused(collection):
    for asked in ({"lang": "\udcff"}, {"lang": ["\udcff"]}, {"\udcff": "x"}):
        with pytest.raises(ValueError, match="lone surrogate"):
            collection.search("x", filter=asked)
    with pytest.raises(ValueError, match="filter has the name 1, a int"):
        collection.search("x", filter={1: "x"})


@pytest.mark.parametrize("names", [{1: "a"}, {None: "a"}, {True: 1}, {1.5: 1}, {("a",): 1}])
def test_metadata_names_that_are_no_strings_are_refused(names):
    for metadata in (names, {"inside": names}, {"list": [[names]]}):
        with pytest.raises(ValueError, match=r"metadata of document 'd' is not JSON \(the name"):
            Document("text", id="d", metadata=metadata)


def test_metadata_without_an_end_is_refused():
    endless: dict = {}
    endless["self"] = endless
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for metadata in (endless, {"deep": deep}):
        with pytest.raises(ValueError, match="is nested more than 64 levels deep"):
            Document("text", metadata=metadata)


# --- on the command line


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        *(("price=1.5", 1.5), ("n=3", 3), ("n=-3", -3), ("e=1e3", 1000.0), ("v=null", None)),
        *(("draft=true", True), ("draft=false", False), ("v=None", "None"), ("lang=en", "en")),
        *(('v="7"', "7"), ('v="null"', "null"), ("v=", ""), ("v=a=b", "a=b"), ("v=NaN", "NaN")),
        *(("v=Infinity", "Infinity"), ("v=1e999", "1e999"), ('v=["a", "b"]', ["a", "b"])),
        *(("v=[a", "[a"), ('v={"a": 1}', '{"a": 1}'), ("v=" + "[" * 99_999, "[" * 99_999)),
    ],
)
def test_what_is_typed_is_read_as_json_reads_it(typed, value):
    assert condition(typed) == (typed.partition("=")[0], value)


def test_a_key_that_is_typed_twice_is_refused():
    assert conditions([("a", 1), ("b", None)]) == {"a": 1, "b": None}
    assert conditions([]) is None
    with pytest.raises(ValueError, match=r"names 'lang' 2 times.*'lang=\[\"en\", \"de\"\]'"):
        conditions([("lang", "en"), ("lang", "de")])


# --- what is no filter

NO_FILTERS = [{"lang": "en"}, {}, [models.Filter()], "lang"]


@pytest.mark.parametrize("mode", RetrievalMode)
@pytest.mark.parametrize("given", NO_FILTERS, ids=str)
async def test_a_filter_of_langchains_store_is_one_of_qdrants_in_every_mode(
    collection, mode, given
):
    store = collection.as_langchain(retrieval_mode=mode)
    said = r'^filter is .* expected a qdrant_client\.models\.Filter.*key="metadata\.lang"'
    for options in ({}, {"hybrid_fusion": models.FusionQuery(fusion=models.Fusion.RRF)}):
        with pytest.raises(ValueError, match=said):
            store.similarity_search("x", filter=given, **options)
        with pytest.raises(ValueError, match=said):
            await store.asimilarity_search_with_score("x", filter=given, **options)


@pytest.mark.parametrize("mode", ["default", "hybrid", "sparse"])
async def test_filters_of_a_query_of_llama_index_are_filters_in_every_mode(collection, mode):
    index = VectorStoreIndex.from_vector_store(
        collection.as_llama_index(enable_hybrid=True),
        embed_model=LLM2VecGenEmbedding(model=collection.model),
    )
    for options, said in (
        ({"filters": {"lang": "en"}}, r"^filters is .* expected .*MetadataFilter\("),
        ({"vector_store_kwargs": {"qdrant_filters": {"lang": "en"}}}, "^qdrant_filters is .*"),
    ):
        retriever = index.as_retriever(vector_store_query_mode=mode, **options)
        with pytest.raises(ValueError, match=said):
            retriever.retrieve("x")
        with pytest.raises(ValueError, match=said):
            await retriever.aretrieve("x")


def test_filters_that_are_none_get_and_delete_no_nodes(collection):
    collection.index([Document("kept")])
    store = collection.as_llama_index()
    for call in (store.get_nodes, store.delete_nodes):
        with pytest.raises(ValueError, match=r"^filters is \{\}; expected"):
            call(filters={})
    assert collection.count() == 1
