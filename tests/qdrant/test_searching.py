"""Searching by meaning, by words and by metadata."""

from __future__ import annotations

import numpy as np
import pytest
from near_hits import near
from qdrant_client import models
from watched_forwards import watch_forwards

from llm2vec_gen_rag.qdrant import Document


def test_search_ranks_by_the_cosine_of_query_and_document(collection, model, documents):
    collection.index(documents)
    texts = [document.text for document in documents]
    scores = model.encode_document(texts) @ model.encode_query("What do they pay with in Kyoto?")
    hits = collection.search("What do they pay with in Kyoto?", k=3)
    assert [hit.text for hit in hits] == [texts[i] for i in np.argsort(-scores)[:3]]
    np.testing.assert_allclose(
        [hit.score for hit in hits], np.sort(scores)[::-1][:3], rtol=0, atol=1e-5
    )


def test_search_uses_the_instruction_of_its_task(collection, model, documents):
    collection.index(documents)
    best = collection.search("Kyoto", k=1, task="sts")[0].score
    texts = [document.text for document in documents]
    scores = model.encode_document(texts) @ model.encode_query("Kyoto", task="sts")
    assert best == pytest.approx(scores.max(), abs=1e-5)
    with pytest.raises(ValueError, match="unknown task"):
        collection.search("Kyoto", task="chess")


def test_many_queries_find_what_each_finds_alone(collection, documents):
    collection.index(documents)
    queries = ["money of Japan", "a house of snow", "a bear"]
    together = collection.search_many(queries, k=2)
    for query, hits in zip(queries, together, strict=True):
        alone = collection.search(query, k=2)
        assert [hit.id for hit in hits] == [hit.id for hit in alone]
    assert collection.search_many([]) == []


def test_filters_by_metadata(collection, documents):
    collection.index(documents)
    assert {hit.id for hit in collection.search("x", filter={"even": True})} == {
        "doc-0",
        "doc-2",
        "doc-4",
    }
    above = models.Filter(
        must=[models.FieldCondition(key="metadata.number", range=models.Range(gt=2))]
    )
    assert {hit.id for hit in collection.hybrid_search("x", filter=above)} == {"doc-3", "doc-4"}


def test_hybrid_search_finds_a_rare_word_that_the_vectors_miss(collection):
    plain = [Document(f"Part number {i} of the catalogue.", id=str(i)) for i in range(30)]
    target = Document("Part number QX-77131 of the catalogue.", id="target")
    collection.index([*plain, target])
    query = "QX-77131"
    by_vector = [hit.id for hit in collection.search(query, k=31)]
    by_both = [hit.id for hit in collection.hybrid_search(query, k=31)]
    assert by_vector[0] != "target"
    assert by_both[0] == "target"
    only_dense = collection.hybrid_search("!?", k=31)
    assert [hit.id for hit in only_dense] == [hit.id for hit in collection.search("!?", k=31)]


def test_words_weigh_by_their_rarity_in_this_collection(collection):
    from llm2vec_gen_rag.qdrant.points.bm25 import query_vector

    collection.index(
        [Document("the the the cat"), Document("the dog"), Document("the fox"), Document("zebra")]
    )
    found = collection.client.query_points(
        "notes", query=query_vector("The zebra, the CAT"), using="bm25", with_payload=True
    )
    texts = [point.payload["page_content"] for point in found.points]
    assert set(texts[:2]) == {"zebra", "the the the cat"}


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(collection, k):
    for search in (collection.search, collection.hybrid_search):
        with pytest.raises(ValueError, match=f"k is {k}; expected an integer of at least 1"):
            search("x", k=k)


def test_batch_size_below_one_is_refused(collection, documents):
    with pytest.raises(ValueError, match="batch_size is 0"):
        collection.index(documents, batch_size=0)


@pytest.mark.parametrize("way", ["search", "hybrid_search"])
def test_a_known_vector_is_searched_by_without_a_forward(collection, documents, model, way):
    collection.index(documents)
    search = getattr(collection, way)
    expected = search("money of Japan", 2)
    vector = model.encode_query("money of Japan")
    with watch_forwards(model) as seen:
        assert search("money of Japan", 2, vector=vector) == near(expected)
    assert not seen.rows


@pytest.mark.parametrize("way", ["search", "hybrid_search"])
def test_a_vector_that_is_none_of_the_models_is_refused(collection, model, way):
    nan = np.full(model.dimension, np.nan, dtype=np.float32)
    for wrong in (nan, nan[:-1], nan[None], [0.0], "vector"):
        with pytest.raises(ValueError, match="expected a finite array"):
            getattr(collection, way)("x", vector=wrong)
