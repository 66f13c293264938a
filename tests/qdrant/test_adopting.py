"""Collections that the frameworks wrote with other vectors, embedded anew beside them."""

from __future__ import annotations

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_qdrant import QdrantVectorStore as LangChainStore
from llama_index.core import MockEmbedding
from llama_index.core.schema import TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexStore
from near_hits import near
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError, CollectionMismatchError
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.qdrant import AdoptedCollection, DocumentCollection
from llm2vec_gen_rag.qdrant.adopting.embedding import AdoptionReport

TEXTS = [
    "Polar bears live on the sea ice of the Arctic.",
    "The yen is the money of Japan.",
    "Disk Cleanup frees space on a hard drive.",
    "Kyoto was the capital of Japan until 1868.",
]
IDS = [f"00000000-0000-4000-8000-00000000000{i}" for i in range(4)]
OLD = DeterministicFakeEmbedding(size=6)


def langchain(client, **options):
    if not client.collection_exists("theirs"):
        vectors = models.VectorParams(size=6, distance=models.Distance.DOT)
        client.create_collection("theirs", vectors_config=vectors)
    return LangChainStore(client, "theirs", OLD, distance=models.Distance.DOT, **options)


def write(client, writer):
    metadatas = [{"number": i} for i in range(4)]
    if writer == "langchain":
        langchain(client).add_texts(TEXTS, metadatas, ids=IDS)
        return
    nodes = [
        TextNode(id_=i, text=text, metadata=m, embedding=MockEmbedding(6).get_text_embedding(text))
        for i, text, m in zip(IDS, TEXTS, metadatas, strict=True)
    ]
    LlamaIndexStore(collection_name="theirs", client=client).add(nodes)


def theirs(client):
    """Every payload, and every vector but ours."""
    records, _ = client.scroll("theirs", limit=99, with_payload=True, with_vectors=True)
    without = {
        record.id: {n: v for n, v in named(record.vector).items() if n != "llm2vec-gen"}
        for record in records
    }
    return {record.id: (record.payload, without[record.id]) for record in records}


def named(vector):
    return vector if isinstance(vector, dict) else {"": vector}


@pytest.fixture
def client():
    opened = QdrantClient(":memory:")
    yield opened
    opened.close()


@pytest.fixture(params=["langchain", "llama_index"])
def written(request, client):
    write(client, request.param)
    return client


def test_texts_are_embedded_beside_what_was_there_and_nothing_of_that_changes(written, model):
    before = theirs(written)
    adopted = AdoptedCollection(written, "theirs", model)
    assert adopted.embed(batch_size=3) == AdoptionReport(4, 0, 0, 0)
    assert theirs(written) == before
    hits = adopted.search("money", k=4)
    scores = model.encode_document(TEXTS, max_length=512) @ model.encode_query("money")
    expected = dict(zip(TEXTS, scores.tolist(), strict=True))
    assert {hit.text: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)
    assert {hit.id: hit.metadata for hit in hits} == {IDS[i]: {"number": i} for i in range(4)}
    assert adopted.embed() == AdoptionReport(0, 4, 0, 0)


def test_langchains_store_goes_on_and_can_search_by_the_new_vector(client, model):
    write(client, "langchain")
    adopted = AdoptedCollection(client, "theirs", model)
    adopted.embed()
    store = langchain(client)
    old = [d.page_content for d in store.similarity_search("money", k=4)]
    store.add_texts(["A cat sleeps."], ids=[7])
    assert len(store.similarity_search("money", k=9)) == 5
    assert [d.page_content for d in store.similarity_search("money", k=5)][:1] == old[:1]
    assert adopted.embed() == AdoptionReport(1, 4, 0, 0)
    moved = LangChainStore(
        client, "theirs", LLM2VecGenEmbeddings(model=model), vector_name="llm2vec-gen"
    )
    found = [d.page_content for d in moved.similarity_search("money", k=5)]
    assert found == [hit.text for hit in adopted.search("money", k=5)]


def test_the_store_of_llama_index_goes_on(client, model):
    write(client, "llama_index")
    AdoptedCollection(client, "theirs", model).embed()
    store = LlamaIndexStore(collection_name="theirs", client=client)
    assert {node.text for node in store.get_nodes(IDS)} == set(TEXTS)
    store.add([TextNode(id_=IDS[0], text="again", embedding=[0.1] * 6)])
    assert [node.text for node in store.get_nodes([IDS[0]])] == ["again"]


def test_a_run_that_was_stopped_goes_on_where_it_was(client, model, monkeypatch):
    write(client, "langchain")
    adopted = AdoptedCollection(client, "theirs", model)
    encode, calls = type(model).encode_document, []

    def stopped(*args, **kwargs):
        calls.append(args[1])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(*args, **kwargs)

    monkeypatch.setattr(type(model), "encode_document", stopped)
    with pytest.raises(KeyboardInterrupt):
        adopted.embed(batch_size=2)
    again = AdoptedCollection(client, "theirs", model)
    assert again.embed(batch_size=2) == AdoptionReport(2, 2, 0, 0)
    assert sorted(calls[0] + calls[2]) == sorted(TEXTS)


def test_a_point_that_its_program_writes_anew_is_embedded_again(client, model):
    write(client, "langchain")
    adopted = AdoptedCollection(client, "theirs", model)
    adopted.embed()
    langchain(client).add_texts(["A cat sleeps."], ids=[IDS[0]])
    assert adopted.embed() == AdoptionReport(1, 3, 0, 0)
    scores = {hit.text: hit.score for hit in adopted.search("cats")}
    expected = float(model.encode_document("A cat sleeps.") @ model.encode_query("cats"))
    assert scores["A cat sleeps."] == pytest.approx(expected, abs=1e-5)


def test_a_text_that_changes_while_it_is_embedded_gets_the_vector_of_the_new_one(
    client, model, monkeypatch
):
    write(client, "langchain")
    adopted = AdoptedCollection(client, "theirs", model)
    encode = type(model).encode_document

    def meanwhile(self, texts, **options):
        vectors = encode(self, texts, **options)
        if TEXTS[0] in texts:
            langchain(client).add_texts(["A cat sleeps."], ids=[IDS[0]])
            client.delete("theirs", [IDS[1]])
        return vectors

    monkeypatch.setattr(type(model), "encode_document", meanwhile)
    assert adopted.embed() == AdoptionReport(3, 0, 0, 0)
    hit = next(hit for hit in adopted.search("cats") if hit.id == IDS[0])
    expected = float(encode(model, "A cat sleeps.") @ model.encode_query("cats"))
    assert (hit.text, hit.score) == ("A cat sleeps.", pytest.approx(expected, abs=1e-5))


def test_points_without_text_are_counted_and_a_text_may_have_another_name(client, model):
    vectors = models.VectorParams(size=2, distance=models.Distance.COSINE)
    client.create_collection("theirs", vectors_config={"dense": vectors})
    payloads = [{"body": TEXTS[0], "lang": "en"}, {"body": " "}, {"body": 7}, {}]
    client.upsert(
        "theirs",
        [
            models.PointStruct(id=i, vector={"dense": [1, i]}, payload=p)
            for i, p in enumerate(payloads)
        ],
    )
    assert AdoptedCollection(client, "theirs", model).embed() == AdoptionReport(0, 0, 4, 0)
    adopted = AdoptedCollection(client, "theirs", model, text_key="body")
    assert adopted.embed() == AdoptionReport(1, 0, 3, 0)
    (hit,) = adopted.search("bears")
    assert (hit.id, hit.text, hit.metadata) == ("0", TEXTS[0], {"lang": "en"})
    (both,) = adopted.compare(["bears"], lambda query: [1.0, 3.0], k=2)
    assert [hit.id for hit in both.old] == ["3", "2"]


def test_both_searches_are_compared_on_ones_own_queries(client, model):
    write(client, "langchain")
    adopted = AdoptedCollection(client, "theirs", model)
    adopted.embed()
    queries = ["money", "where do bears live?"]
    compared = adopted.compare(queries, OLD.embed_query, k=3)
    for query, both in zip(queries, compared, strict=True):
        found = langchain(client).similarity_search(query, k=3)
        assert [hit.text for hit in both.old] == [d.page_content for d in found]
        assert list(both.new) == near(adopted.search(query, k=3))
        assert both.shared == len({h.id for h in both.old} & {h.id for h in both.new}) >= 2
    lines = compared[0].table(width=70).split("\n")
    assert lines[0] == "money"
    assert lines[1].split() == ["old", "|", "new"]
    assert len(lines) == 5
    assert max(map(len, lines)) <= 70
    assert compared[0].table(width=30).split("\n")[2].endswith("...")
    with pytest.raises(ValueError, match="returned 2 numbers; expected 6"):
        adopted.compare(["money"], lambda query: [0.0, 1.0])
    with pytest.raises(ValueError, match=r"old_vector is 'other'.* has the vectors \[''\]"):
        adopted.compare(["money"], OLD.embed_query, old_vector_name="other")


def test_the_vector_of_another_model_is_refused_and_both_can_be_there(client, model, other_model):
    write(client, "langchain")
    AdoptedCollection(client, "theirs", model).embed()
    with pytest.raises(CollectionMismatchError, match="was written by"):
        AdoptedCollection(client, "theirs", other_model)
    other = AdoptedCollection(client, "theirs", other_model, vector="other")
    assert other.embed().embedded == 4
    assert other.compare(["money"], OLD.embed_query)[0].old  # the one that neither wrote
    assert AdoptedCollection(client, "theirs", model).embed().unchanged == 4


def test_what_cannot_be_adopted_is_refused_with_what_to_do(client, model):
    with pytest.raises(CollectionError, match="no collection 'theirs' to adopt; found none"):
        AdoptedCollection(client, "theirs", model)
    DocumentCollection(client, "ours", model)
    with pytest.raises(CollectionError, match=r"Open it with DocumentCollection\.open"):
        AdoptedCollection(client, "ours", model)
    write(client, "langchain")
    with pytest.raises(CollectionMismatchError, match=r"AdoptedCollection\.open"):
        DocumentCollection(client, "theirs", model)
    vectors = {"llm2vec-gen": models.VectorParams(size=3, distance=models.Distance.DOT)}
    client.create_collection("named alike", vectors_config=vectors)
    with pytest.raises(CollectionError, match="does not say which model wrote it"):
        AdoptedCollection(client, "named alike", model)
    with pytest.raises(ValueError, match="vector is ''; expected a name"):
        AdoptedCollection(client, "theirs", model, vector="")


def test_what_is_no_loaded_model_opens_nothing(tmp_path):
    for given in ("almanac", None):
        with pytest.raises(ValueError, match=r"model is .*LLM2VecGen\.from_pretrained"):
            AdoptedCollection.open(tmp_path / "store", "theirs", given)
    assert list(tmp_path.iterdir()) == []


def test_its_documents_move_into_a_collection_of_ours(written, model, tmp_path):
    adopted = AdoptedCollection(written, "theirs", model)
    with DocumentCollection.open(":memory:", "ours", model) as ours:
        assert ours.sync(adopted.documents(), source="theirs").added == 4
        assert ours.sync(adopted.documents(), source="theirs").unchanged == 4
        assert {(d.id, d.text) for d in ours.list()} == set(zip(IDS, TEXTS, strict=True))
        assert ours.hybrid_search("Kyoto", k=1, weight=0)[0].text == TEXTS[3]  # by its words


async def test_a_folder_is_adopted_awaited_and_opened_again(model, tmp_path):
    raw = QdrantClient(path=str(tmp_path / "store"))
    write(raw, "langchain")
    raw.close()
    with AdoptedCollection.open(tmp_path / "store", "theirs", model) as adopted:
        assert (await adopted.aembed()).embedded == 4
    with AdoptedCollection.open(tmp_path / "store", "theirs", model) as adopted:
        assert adopted.embed().unchanged == 4
        awaited, found = await adopted.asearch("money"), adopted.search("money")
        assert [hit.id for hit in awaited] == [hit.id for hit in found]
        # NumPy sums by the alignment of the memory that a vector comes to lie in
        assert [hit.score for hit in awaited] == pytest.approx([hit.score for hit in found])
    with pytest.raises(CollectionError, match="the collection is closed"):
        adopted.search("money")
