"""What `collection.client` and the stores on it do to the collection: all of it, or an error."""

from __future__ import annotations

import inspect

import pytest
from langchain_qdrant import QdrantVectorStore as OwnLangChainStore
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore as OwnLlamaIndexStore
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document, DocumentCollection
from llm2vec_gen_rag.qdrant.lent import methods as lent_methods

BEAR, YEN = Document("Polar bears live on ice.", id="bear"), Document("The yen is money.", id="yen")
CONFIG = models.VectorParams(size=4, distance=models.Distance.COSINE)
REFUSED = {
    "create_collection": {"vectors_config": CONFIG},
    "recreate_collection": {"vectors_config": CONFIG},
    "delete_collection": {},
    "recover_snapshot": {"location": "http://elsewhere/snapshot"},
    "recover_shard_snapshot": {"shard_id": 0, "location": "http://elsewhere/snapshot"},
    "create_vector_name": {"vector_name": "bm25", "vector_name_config": None},
    "delete_vector_name": {"vector_name": "bm25"},
}
LISTED = (
    lent_methods.READS
    | lent_methods.TUNES
    | lent_methods.COMPLETED
    | lent_methods.PARTIAL_WRITES
    | lent_methods.REPLACES
    | lent_methods.OF_THE_STORE
)


def require_whole(collection: DocumentCollection, ids: set[str]) -> None:
    """Fail unless the collection has these documents, its model's record and its sparse vectors."""
    config = collection.client.get_collection("notes").config  # opening would create it anew
    assert config.metadata["llm2vec_gen"]["fingerprint"] == collection.model.trained_digest
    assert set(config.params.sparse_vectors) == {"bm25"}
    again = DocumentCollection(collection.client, "notes", collection.model)
    assert {hit.id for hit in again.search("x", k=100)} == ids
    assert collection.adopt() == 0


def methods_of(client: type) -> set[str]:
    members = inspect.getmembers(client, inspect.isfunction)
    return {name for name, _ in members if not name.startswith("_")}


@pytest.mark.parametrize("client", [QdrantClient, AsyncQdrantClient])
def test_every_method_of_a_client_has_its_place(client):
    assert methods_of(client) - LISTED == set()
    members = {name for name in dir(client) if not name.startswith("_")}
    attributes = {"DEFAULT_BATCH_SIZE", "init_options"}
    assert members - LISTED - lent_methods.DOORS_TO_THE_SERVER - attributes == set()


@pytest.mark.parametrize("name", REFUSED)
async def test_what_would_replace_the_collection_is_refused_by_name(collection, name):
    collection.index([BEAR])
    with pytest.raises(CollectionError, match=f"^{name} .*QdrantClient"):
        getattr(collection.client, name)("notes", **REFUSED[name])
    with pytest.raises(CollectionError, match=f"^{name} "):
        await getattr(collection.as_llama_index()._aclient, name)("notes", **REFUSED[name])
    require_whole(collection, {"bear"})


@pytest.mark.parametrize("setting", ["metadata", "sparse_vectors_config"])
def test_settings_that_identify_the_collection_are_refused(collection, setting):
    for value in ({}, {"llm2vec_gen": {}}):
        with pytest.raises(CollectionError, match=rf"update_collection\({setting}=...\) could"):
            collection.client.update_collection("notes", **{setting: value})
    require_whole(collection, set())


def test_a_method_of_a_later_client_is_refused_until_its_place_is_known(collection, monkeypatch):
    def rewrite_points(self, collection_name: str, **kwargs: str) -> None:
        raise AssertionError

    monkeypatch.setattr(QdrantClient, "rewrite_points", rewrite_points, raising=False)
    with pytest.raises(CollectionError, match="rewrite_points is not known"):
        collection.client.rewrite_points("notes")


async def test_clearing_empties_the_collection_and_leaves_it_whole(collection):
    store, embedding = collection.as_llama_index(), LLM2VecGenEmbedding(model=collection.model)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    for asynchronous in (False, True):
        collection.index([BEAR])
        index.insert_nodes([TextNode(id_="node", text="text")])
        if asynchronous:
            await store.aclear()
        else:
            store.clear()
        await index.ainsert_nodes([TextNode(id_="node", text="text")])
        require_whole(collection, {"node"})
        collection.index([YEN])
        require_whole(collection, {"node", "yen"})
        assert [hit.id for hit in collection.hybrid_search("yen", k=1)] == ["yen"]


def test_a_store_of_the_frameworks_on_the_lent_client_replaces_nothing(collection):
    collection.index([BEAR])
    store = OwnLlamaIndexStore(collection_name="notes", client=collection.client)
    with pytest.raises(CollectionError, match="delete_collection would leave"):
        store.clear()
    with pytest.raises(CollectionError, match="create_collection would leave"):
        store._create_collection("notes", 4)
    embedding = collection.as_langchain().embeddings
    lent = OwnLangChainStore(collection.client, "notes", embedding)
    lent.add_texts(["text"], ids=["langchain"])
    require_whole(collection, {"bear", "langchain"})


# --- a caller's id in place of a vector


@pytest.fixture
def written(collection):
    """Five points: of this library, of LangChain under three kinds of id, and an integer's text."""
    collection.index([BEAR, YEN])
    ids = ["note#3", 7, "00000000-0000-4000-8000-00000000000A"]
    collection.as_langchain().add_texts(["Kyoto", "Igloo", "Disk"], ids=ids)
    return collection


def vector_of(collection, given) -> list[float]:
    (record,) = collection.client.retrieve("notes", [given], with_vectors=True)
    return record.vector[""]


def pair(positive, negative):
    return models.ContextPair(positive=positive, negative=negative)


def queries(one, other) -> dict[str, object]:
    """Every kind of query, with ids or with vectors."""
    ids = models.RecommendInput(positive=[one, other], negative=[other])
    best = models.RecommendInput(
        positive=[one], negative=[other], strategy=models.RecommendStrategy.BEST_SCORE
    )
    target = models.DiscoverInput(target=one, context=[pair(one, other)])
    item = models.FeedbackItem(example=other, score=0.5)
    strategy = models.NaiveFeedbackStrategy(naive=models.NaiveFeedbackStrategyParams(a=1, b=1, c=1))
    feedback = models.RelevanceFeedbackInput(target=one, feedback=[item], strategy=strategy)
    return {
        "id": one,
        "nearest": models.NearestQuery(nearest=one),
        "mmr": models.NearestQuery(nearest=one, mmr=models.Mmr(diversity=0.5)),
        "recommend": models.RecommendQuery(recommend=ids),
        "best": models.RecommendQuery(recommend=best),
        "discover": models.DiscoverQuery(discover=target),
        "one pair": models.DiscoverQuery(
            discover=models.DiscoverInput(target=one, context=pair(one, other))
        ),
        "context": models.ContextQuery(context=[pair(one, other)]),
        "feedback": models.RelevanceFeedbackQuery(relevance_feedback=feedback),
    }


GIVEN = ["bear", "note#3", 7, "7", "00000000-0000-4000-8000-00000000000A"]


def found(points) -> list[tuple[object, float]]:
    return sorted(((str(p.id), round(p.score, 4)) for p in points), key=lambda pair: pair[1])


@pytest.mark.parametrize("kind", queries("a", "b"))
def test_an_id_stands_for_its_vector_in_every_kind_of_query(written, kind):
    client = written.client
    vectors = {given: vector_of(written, given) for given in [*GIVEN, "yen"]}
    for one, other in zip(GIVEN, [*GIVEN[1:], "yen"], strict=True):
        asked = queries(one, other)[kind]
        by_vector = queries(vectors[one], vectors[other])[kind]
        where = models.Filter(must_not=[models.HasIdCondition(has_id=[one, other])])
        expected = client.query_points("notes", by_vector, query_filter=where, limit=9).points
        prefetch = models.Prefetch(query=asked, filter=where, limit=9)
        answers = [
            client.query_points("notes", asked, query_filter=where, limit=9),
            client.query_points(collection_name="notes", query=asked, query_filter=where, limit=9),
            client.query_batch_points(
                "notes",
                [models.QueryRequest(query=asked, filter=where, limit=9, with_payload=True)],
            )[0],
            client.query_points("notes", prefetch=prefetch, query=asked, query_filter=where),
            client.query_points("notes", prefetch=[prefetch], query=by_vector, query_filter=where),
        ]
        assert expected
        for answer in answers:
            assert found(answer.points) == found(expected)
        groups = client.query_points_groups(
            "notes", "page_content", query=asked, query_filter=where, limit=9
        ).groups
        hits = [hit for group in groups for hit in group.hits]
        assert found(hits) == found(expected)


def test_ids_are_translated_in_every_filter(written):
    client = written.client
    bear = models.HasIdCondition(has_id=["bear"])
    where = models.Filter(must=bear)
    vector = vector_of(written, "bear")
    assert client.count("notes", where).count == 1
    assert [r.payload["page_content"] for r in client.scroll("notes", where)[0]] == [BEAR.text]
    assert [h.count for h in client.facet("notes", "page_content", facet_filter=where).hits] == [1]
    two = models.Filter(must=[models.HasIdCondition(has_id=["bear", "note#3", "nowhere"])])
    assert len(client.search_matrix_pairs("notes", two, sample=9, limit=9).pairs) == 2
    assert len(client.search_matrix_offsets("notes", two, sample=9, limit=9).ids) == 2
    boosted = models.FormulaQuery(formula=models.MultExpression(mult=[2.0, bear]))
    prefetch = models.Prefetch(query=vector, limit=9)
    (best, *rest) = client.query_points("notes", boosted, prefetch=prefetch).points
    assert best.payload["page_content"] == BEAR.text
    assert best.score == 2
    assert {point.score for point in rest} == {0}
    at_least = models.MinShould(conditions=[bear, bear], min_count=2)
    assert client.count("notes", models.Filter(min_should=at_least)).count == 1


def test_a_page_begins_where_the_last_one_ended_or_at_a_callers_id(written):
    client = written.client
    pages, offset = [], None
    while True:
        records, offset = client.scroll("notes", limit=2, offset=offset)
        pages += records
        if offset is None:
            break
    assert len({record.payload["page_content"] for record in pages}) == 5
    for given, text in (
        ("bear", BEAR.text),
        ("note#3", "Kyoto"),
        (7, "Igloo"),
        (GIVEN[-1], "Disk"),
    ):
        (first, *_), _ = client.scroll("notes", offset=given)
        assert first.payload["page_content"] == text
    gone = str(pages[-1].id)
    client.delete("notes", [gone])
    assert client.scroll("notes", offset=gone)[0] == []  # as Qdrant does


@pytest.mark.parametrize("kind", queries("a", "b"))
def test_an_id_that_no_point_or_several_have_is_an_error(written, kind):
    with pytest.raises(CollectionError, match="no points of collection 'notes' have the id 'away'"):
        written.client.query_points("notes", queries("away", "bear")[kind])
    written.index([Document("Another text.", id="bear")], source="another")
    with pytest.raises(CollectionError, match="2 points of collection 'notes' have the id 'bear'"):
        written.client.query_points("notes", queries("bear", "yen")[kind])


def test_ids_of_points_in_another_collection_are_its_own(written):
    client = written.client
    client.create_collection(
        "others", models.VectorParams(size=written.model.dimension, distance="Cosine")
    )
    vector = vector_of(written, "bear")
    client.upsert("others", [models.PointStruct(id=1, vector=vector)])
    elsewhere = models.LookupLocation(collection="others")
    prefetch = models.Prefetch(query=1, lookup_from=elsewhere, limit=1)
    for answer in (
        client.query_points("notes", 1, lookup_from=elsewhere, limit=1),
        client.query_points("notes", vector, prefetch=prefetch),
    ):
        assert [point.payload["page_content"] for point in answer.points] == [BEAR.text]
    here = models.LookupLocation(collection="notes")
    by_id = client.query_points("notes", "bear", lookup_from=here, limit=9).points
    assert {point.payload["page_content"] for point in by_id} == {
        YEN.text,
        "Kyoto",
        "Igloo",
        "Disk",
    }


# --- an id deletes the document whose hit has it


def test_an_id_deletes_the_document_whose_hit_has_it_and_no_other(written):
    point = BEAR.point_id
    written.delete([point])  # where Qdrant keeps the bear, whose id is "bear"
    assert written.count() == 5
    for delete in (
        written.delete,
        written.as_langchain().delete,
        written.as_llama_index().delete_nodes,
        lambda ids: written.client.delete("notes", ids),
    ):
        written.index([Document("Named like the bear's point.", id=point)])
        (record,) = written.client.retrieve("notes", [point])
        assert record.payload["page_content"] == "Named like the bear's point."
        delete([point])
        assert {hit.id for hit in written.search("x", k=9)} >= {"bear"}
        assert written.count() == 5
    written.client.delete("notes", [point])  # as an answer without payloads has it
    assert written.count() == 4


def test_requests_of_grpc_are_refused_by_name(collection):
    from qdrant_client import grpc

    with pytest.raises(ValueError, match="got a Filter of gRPC"):
        collection.client.count("notes", count_filter=grpc.Filter())


@pytest.mark.parametrize("limit", [0, -1, "3", True, 1.5])
def test_a_limit_is_an_integer_of_at_least_one(written, limit):
    for ask in (
        lambda: written.client.query_points("notes", "bear", limit=limit),
        lambda: written.client.scroll("notes", limit=limit),
        lambda: written.as_langchain().similarity_search("x", k=limit),
    ):
        with pytest.raises(ValueError, match=r"limit is .*; expected an integer of at least 1"):
            ask()
