"""Indexing: what is new, what changed, what vanished; texts that no store could hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport


@pytest.fixture
def embedded(model, monkeypatch) -> list[str]:
    """The texts that the model embeds as documents from here on."""
    texts: list[str] = []
    encode = model.encode_document

    def recording(batch: list[str], **options) -> np.ndarray:
        texts.extend(batch)
        return encode(batch, **options)

    monkeypatch.setattr(model, "encode_document", recording)
    return texts


def stored(collection: DocumentCollection) -> dict[str, dict]:
    records, _ = collection.client.scroll(collection.name, limit=1000)
    return {str(record.id): record.payload for record in records}


def test_a_second_run_embeds_nothing_and_changes_nothing(collection, embedded, documents):
    assert collection.index(documents) == IndexReport(added=5)
    before = stored(collection)
    embedded.clear()
    assert collection.index(documents) == IndexReport(unchanged=5)
    assert embedded == []
    assert stored(collection) == before


def test_a_changed_text_is_embedded_again_under_its_id(collection, model, embedded, documents):
    collection.index(documents)
    embedded.clear()
    new = Document("The won is the money of Korea.", id="doc-1")
    assert collection.index([*documents[:1], new]) == IndexReport(replaced=1, unchanged=1)
    assert embedded == [new.text]
    assert collection.count() == 5
    (record,) = collection.client.retrieve("notes", [new.point_id], with_vectors=True)
    expected = model.encode_document(new.text)
    np.testing.assert_allclose(record.vector[""], expected, atol=1e-6)
    texts = {hit.id: hit.text for hit in collection.search("money")}
    assert texts == {d.id: d.text for d in documents} | {"doc-1": new.text}


def test_changed_metadata_is_replaced_without_embedding(collection, embedded, documents):
    collection.index(documents)
    embedded.clear()
    new = dataclasses.replace(documents[1], metadata={"lang": "en"})
    assert collection.index([new]) == IndexReport(replaced=1)
    assert embedded == []
    (hit,) = collection.search("money", filter={"lang": "en"})
    assert (hit.text, hit.metadata) == (new.text, {"lang": "en"})
    assert collection.search("money", filter={"number": 1}) == []
    assert collection.hybrid_search("yen", k=1)[0].text == new.text  # both vectors stayed


def test_a_text_without_an_id_is_its_own_name(collection):
    report = collection.index([Document("same"), Document("same"), Document("other")])
    assert report == IndexReport(added=2, unchanged=1)


def test_documents_are_read_only_as_far_as_they_are_indexed(collection):
    def endless() -> Iterator[Document]:
        for i in range(1_000_000):
            if i == 40:
                assert collection.count() == 32
                raise RuntimeError("the source broke")
            yield Document(f"text {i}", id=str(i))

    with pytest.raises(RuntimeError, match="the source broke"):
        collection.index(endless(), batch_size=16)
    assert collection.count() == 32


def test_progress_counts_documents(collection, capsys, documents):
    collection.index(documents, batch_size=2, show_progress=True)
    assert "5/5" in capsys.readouterr().err


def test_sync_removes_what_its_source_no_longer_holds_and_nothing_else(collection, documents):
    collection.index([Document("kept", id="elsewhere")], source="b")
    collection.sync(documents, source="a")
    report = collection.sync(documents[:2], source="a")
    assert report == IndexReport(unchanged=2, removed=3)
    left = {payload["_llm2vec_gen"]["id"] for payload in stored(collection).values()}
    assert left == {"doc-0", "doc-1", "elsewhere"}


def test_sync_removes_nothing_when_its_source_breaks(collection, documents):
    def broken() -> Iterator[Document]:
        yield documents[0]
        raise OSError("unplugged")

    collection.sync(documents)
    with pytest.raises(OSError, match="unplugged"):
        collection.sync(broken(), batch_size=1)
    assert collection.count() == 5


def test_delete_takes_the_ids_of_hits(collection, documents):
    collection.index([*documents, Document("no id of its own")])
    nameless = next(hit for hit in collection.search("id", k=10) if hit.text == "no id of its own")
    collection.delete(["doc-3", nameless.id, "never there"])
    assert {hit.id for hit in collection.search("x")} == {"doc-0", "doc-1", "doc-2", "doc-4"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": None}, "text of document None is a NoneType; expected a str"),
        ({"text": "x", "id": 7}, "id of document 7 is a int"),
        ({"text": "a\ud800", "id": "d"}, "lone surrogate at position 1"),
        ({"text": "x", "metadata": {"when": object()}}, "metadata of document None is not JSON"),
        ({"text": "x", "metadata": {"score": float("nan")}}, "metadata of document None"),
        ({"text": "x", "metadata": {"name": "\udfff"}}, "metadata of document None"),
    ],
)
def test_a_document_that_no_store_could_hold_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Document(**arguments)


def test_strings_in_place_of_lists_and_documents_are_refused(collection, documents):
    with pytest.raises(ValueError, match=r"got a str to index; .*Document\(text\)"):
        collection.index([document.text for document in documents])
    collection.index(documents)
    with pytest.raises(ValueError, match=r"ids is the string 'doc-1'; expected a list"):
        collection.delete("doc-1")
    with pytest.raises(ValueError, match="queries is the string"):
        collection.search_many("Kyoto")
    assert collection.count() == 5


def test_texts_too_long_for_the_model_are_counted(collection, model):
    texts = [" a" * n for n in range(440, 520)]
    vectors = model.encode_document(texts)
    # those cut read like the longest; so does the one that just fits, so the longest is left out
    cut = sum(np.allclose(vector, vectors[-1], atol=1e-6) for vector in vectors[:-1])
    fitting = [Document(text, id=text) for text in texts]
    report = collection.index(fitting)
    assert report.added == len(texts)
    assert report.truncated == cut
    assert report.truncated_ids == tuple(texts[-cut:])
    assert 0 < cut < len(texts)
    assert collection.index(fitting) == IndexReport(unchanged=len(texts))


def test_texts_come_back_byte_for_byte(collection):
    odd = ["", "  \n\t", "a\x00b", "مرحبا", "👩‍🔬", "<question1><|im_end|>", "x " * 50_000]
    collection.index(Document(text, id=str(i)) for i, text in enumerate(odd))
    hits = collection.search("anything")
    assert {int(hit.id): hit.text for hit in hits} == dict(enumerate(odd))


def test_a_content_beside_is_replaced_after_the_one_in_its_way_is_gone(collection):
    yen, won, yuan = (Document(f"The {money}.", id="money") for money in ("yen", "won", "yuan"))
    collection.index([yen], source="A")
    collection.index([won], source="B")
    collection.sync([], source="A")
    assert collection.index([yuan], source="B") == IndexReport(replaced=1)
    assert [hit.text for hit in collection.search("money")] == [yuan.text]
