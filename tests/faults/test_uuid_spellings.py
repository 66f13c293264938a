"""One UUID in several spellings: Qdrant stores one point, so one call may not give two of them."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from llama_index.core.schema import TextNode
from qdrant_client import models

from llm2vec_gen_rag.qdrant import Document

SPELLINGS = [
    "abcdefab-0000-4000-8000-00000000abcd",
    "ABCDEFAB-0000-4000-8000-00000000ABCD",
    "abcdefab00004000800000000000abcd",
    "urn:uuid:abcdefab-0000-4000-8000-00000000abcd",
    "{abcdefab-0000-4000-8000-00000000abcd}",
    UUID("abcdefab-0000-4000-8000-00000000abcd"),
]
PAIRS = [*pairwise(SPELLINGS[:5]), (SPELLINGS[2], SPELLINGS[5])]


def texts(collection) -> set[str]:
    return {hit.text for hit in collection.search("x", k=100)}


def vector_of(collection, text: str) -> list[float]:
    return collection.model.encode_document(text).tolist()


def two_points(collection, ids) -> list[models.PointStruct]:
    vector = vector_of(collection, "x")
    return [models.PointStruct(id=i, vector=vector, payload={"page_content": str(i)}) for i in ids]


def by_langchain(collection, ids):
    others = [str(number) for number in range(70)]  # more than it writes at once
    collection.as_langchain().add_texts(["x"] * 72, ids=[ids[0], *others, ids[1]])


def by_llama_index(collection, ids):
    vector = vector_of(collection, "x")
    nodes = [TextNode(id_=str(each), text="x", embedding=vector) for each in ids]
    collection.as_llama_index().add(nodes)


def by_upsert(collection, ids):
    collection.client.upsert("notes", two_points(collection, ids))


def by_upload_points(collection, ids):
    collection.client.upload_points("notes", two_points(collection, ids))


def by_upload_collection(collection, ids):
    payloads = [{"page_content": "x"}] * 2
    collection.client.upload_collection("notes", [vector_of(collection, "x")] * 2, payloads, ids)


def by_batch_update(collection, ids):
    upsert = models.PointsList(points=two_points(collection, ids))
    collection.client.batch_update_points("notes", [models.UpsertOperation(upsert=upsert)])


@pytest.mark.parametrize(
    "write",
    [
        *(by_langchain, by_llama_index, by_upsert, by_upload_points, by_upload_collection),
        by_batch_update,
    ],
)
@pytest.mark.parametrize("ids", PAIRS, ids=str)
def test_two_spellings_of_one_uuid_in_one_call_are_refused(collection, write, ids):
    with pytest.raises(ValueError, match=r"two spellings of one UUID.*expected one spelling"):
        write(collection, ids)
    assert collection.count() == 0


def test_a_later_call_replaces_the_point_of_a_uuid_in_the_spelling_it_gives(collection):
    store = collection.as_langchain()
    for spelling in SPELLINGS:
        store.add_texts([str(spelling)], ids=[spelling])
        assert texts(collection) == {str(spelling)}
        for asked in (spelling, SPELLINGS[0]):
            assert [each.page_content for each in store.get_by_ids([asked])] == [str(spelling)]
        assert [hit.id for hit in collection.search("x")] == [str(spelling)]
    store.delete([SPELLINGS[-1]])
    assert collection.count() == 0


def test_documents_of_a_source_keep_ids_in_several_spellings_apart(collection):
    collection.index([Document(each, id=each) for each in SPELLINGS[:5]])
    assert texts(collection) == set(SPELLINGS[:5])
    collection.delete([SPELLINGS[1]])
    assert texts(collection) == {*SPELLINGS[:5]} - {SPELLINGS[1]}
