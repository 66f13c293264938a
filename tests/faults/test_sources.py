"""A document stays as long as one of its sources holds it, and goes with the last one."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from qdrant_client import models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, IndexReport
from llm2vec_gen_rag.qdrant.writing import as_read, beside, indexing, pruning

YEN = Document("The yen is the money of Japan.", id="yen", metadata={"lang": "en"})
WON = dataclasses.replace(YEN, text="The won is the money of Korea.")


def texts(collection):
    return sorted(hit.text for hit in collection.search("money", k=50))


def test_a_document_goes_when_its_last_source_lets_it_go(collection):
    collection.sync([YEN], source="A")
    assert collection.sync([YEN], source="B") == IndexReport(unchanged=1)
    assert collection.sync([], source="B") == IndexReport()
    assert texts(collection) == [YEN.text]
    assert collection.sync([], source="A") == IndexReport(removed=1)
    assert texts(collection) == []


@pytest.mark.parametrize(
    "other",
    [
        YEN,
        WON,
        dataclasses.replace(YEN, metadata={"lang": "de"}),
        Document(YEN.text),
        Document(YEN.text, metadata={"lang": "de"}),
    ],
)
@pytest.mark.parametrize("write", ["index", "sync"])
def test_the_reports_of_two_sources_settle(collection, write, other):
    for source, document in [("A", YEN), ("B", other)]:
        getattr(collection, write)([document], source=source)
    found = texts(collection)
    for source, document in [("A", YEN), ("B", other)] * 2:
        report = getattr(collection, write)([document], source=source)
        assert report == IndexReport(unchanged=1)
    assert texts(collection) == found
    assert set(found) == {YEN.text, other.text}
    metadata = [hit.metadata for hit in collection.search("money")]
    assert YEN.metadata in metadata
    assert other.metadata in metadata


@pytest.mark.parametrize("first", ["A", "B"])
def test_one_id_with_two_texts_keeps_the_text_of_the_source_that_stays(collection, first):
    documents = {"A": YEN, "B": WON}
    for source, document in documents.items():
        collection.sync([document], source=source)
    last = "B" if first == "A" else "A"
    assert collection.sync([], source=first) == IndexReport(removed=1)
    assert texts(collection) == [documents[last].text]
    assert collection.sync([documents[last]], source=last) == IndexReport(unchanged=1)
    assert collection.sync([], source=last) == IndexReport(removed=1)


def test_sources_that_part_and_agree_again_hold_what_each_gave_last(collection):
    for source in ("A", "B"):
        collection.index([YEN], source=source)
    assert collection.index([WON], source="B") == IndexReport(replaced=1)
    assert texts(collection) == sorted([YEN.text, WON.text])
    assert collection.index([WON], source="B") == IndexReport(unchanged=1)
    assert collection.index([YEN], source="A") == IndexReport(unchanged=1)
    assert collection.index([YEN], source="B") == IndexReport(replaced=1)
    assert texts(collection) == [YEN.text]
    assert collection.sync([], source="A") == IndexReport()
    assert texts(collection) == [YEN.text]


def test_deleting_an_id_deletes_the_documents_of_every_source(collection):
    collection.index([YEN], source="A")
    collection.index([WON], source="B")
    collection.delete(["yen"])
    assert texts(collection) == []
    assert collection.index([WON], source="B") == IndexReport(added=1)


DELETIONS = {
    "LangChain": lambda collection, ids: collection.as_langchain().delete(ids),
    "LlamaIndex": lambda collection, ids: collection.as_llama_index().delete_nodes(ids),
    "the client": lambda collection, ids: collection.client.delete(collection.name, ids),
    "a batch": lambda collection, ids: collection.client.batch_update_points(
        collection.name, [models.DeleteOperation(delete=models.PointIdsList(points=ids))]
    ),
}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_the_frameworks_delete_an_id_from_every_source(collection, delete):
    collection.index([YEN, Document("A bear.", id="bear")], source="A")
    collection.index([WON], source="B")
    delete(collection, ["yen"])
    assert texts(collection) == ["A bear."]


def test_an_id_gets_the_documents_of_every_source(collection):
    collection.index([YEN, Document("A bear.", id="bear")], source="A")
    collection.index([WON], source="B")
    both = {YEN.text, WON.text}
    found = collection.as_langchain().get_by_ids(["yen"])
    assert len(found) == 2
    assert {document.page_content for document in found} == both
    (node,) = collection.as_llama_index().get_nodes(["yen"])  # which asks for one an id
    assert node.get_content() in both


def test_one_text_with_two_metadata_and_no_ids_is_two_documents(collection):
    twins = [Document(YEN.text, metadata={"page": page}) for page in (1, 2)]
    assert collection.sync(twins) == IndexReport(added=2)
    assert collection.sync(twins) == IndexReport(unchanged=2)
    for page in (1, 2):
        assert len(collection.search("money", filter={"page": page})) == 1
    assert collection.sync(twins[:1]) == IndexReport(unchanged=1, removed=1)
    assert [hit.metadata for hit in collection.search("money")] == [{"page": 1}]


@pytest.mark.parametrize("between", [0, 1, 5])
@pytest.mark.parametrize("second", [WON, dataclasses.replace(YEN, metadata={"lang": "de"})])
@pytest.mark.parametrize("write", ["index", "sync"])
def test_one_id_with_two_contents_in_a_source_is_refused_however_far_apart(
    collection, write, second, between
):
    collection.sync([Document("kept")])
    others = [Document(f"text {number}") for number in range(between)]
    message = rf"documents\[{between + 1}\] has the id 'yen', and so has documents\[0\]"
    with pytest.raises(ValueError, match=message):
        getattr(collection, write)([YEN, *others, second], batch_size=2)
    assert "kept" in texts(collection)
    assert second.text == YEN.text or second.text not in texts(collection)


@pytest.mark.parametrize("between", [0, 1, 5])
def test_a_document_twice_in_a_source_is_one(collection, between):
    others = [Document(f"text {number}") for number in range(between)]
    given = [YEN, *others, YEN]
    assert collection.sync(given, batch_size=2) == IndexReport(added=between + 1, unchanged=1)
    assert collection.sync(given, batch_size=2) == IndexReport(unchanged=between + 2)
    assert collection.count() == between + 1


@pytest.mark.parametrize("between", [0, 5])
def test_one_text_with_two_metadata_and_no_ids_may_be_any_distance_apart(collection, between):
    others = [Document(f"text {number}") for number in range(between)]
    twins = [Document(YEN.text), Document(YEN.text, metadata={"page": 1})]
    given = [twins[0], *others, twins[1]]
    assert collection.sync(given, batch_size=2) == IndexReport(added=between + 2)
    assert collection.sync(given, batch_size=2) == IndexReport(unchanged=between + 2)


def test_two_sources_that_come_to_agree_share_one_point_at_once(collection):
    """Whether the point of their id is their own, another source's or a store's."""
    for other in (None, "C", "store"):
        if other == "C":
            collection.sync([dataclasses.replace(YEN, text="another")], source="C")
        elif other == "store":
            collection.sync([], source="C")
            collection.as_langchain().add_texts(["another"], ids=["yen"])
        for source in ("A", "B"):
            collection.sync([YEN], source=source)
        assert collection.sync([WON], source="A").replaced == 1
        assert collection.sync([WON], source="B").replaced == 1
        assert [text for text in texts(collection) if text != "another"] == [WON.text]
        for source in ("A", "B"):
            assert collection.sync([WON], source=source) == IndexReport(unchanged=1)
        assert collection.sync([], source="A") == IndexReport()
        assert collection.sync([], source="B") == IndexReport(removed=1)


def test_a_source_that_parts_from_others_leaves_nothing_behind(collection):
    collection.index([YEN], source="A")
    for text in ("one", "two", "three", YEN.text, "four"):
        report = collection.index([dataclasses.replace(YEN, text=text)], source="B")
        assert report == IndexReport(added=1) if text == "one" else IndexReport(replaced=1)
        assert texts(collection) == sorted({YEN.text, text})
    collection.sync([], source="A")
    for text, report in [("four", IndexReport(unchanged=1)), ("five", IndexReport(replaced=1))]:
        assert collection.index([dataclasses.replace(YEN, text=text)], source="B") == report
        assert texts(collection) == [text]


def test_an_empty_source_may_be_refused_before_anything_goes(collection):
    collection.sync([YEN, Document("x")], source="drive")
    with pytest.raises(CollectionError, match="drive gave no document, and the 2 that"):
        collection.sync([], source="drive", allow_empty=False)
    assert collection.count() == 2
    assert collection.sync([YEN], source="drive", allow_empty=False).removed == 1
    assert collection.sync([], source="elsewhere", allow_empty=False) == IndexReport()
    assert collection.sync([], source="drive") == IndexReport(removed=1)


@pytest.fixture(params=["local", "server"])
def place(request, monkeypatch):
    """Write as to a folder, under its lock, and as to a server, under conditions."""
    if request.param == "server":
        for module in (as_read, beside):
            monkeypatch.setattr(module, "is_local", lambda client: False)


def interrupt(monkeypatch, module, other_writer):
    """Run another writer once, between reading the stored stamps and writing."""
    read, pending = module.read_stamps, [other_writer]

    def reading(*arguments):
        stamps = read(*arguments)
        if pending:
            pending.pop()()
        return stamps

    monkeypatch.setattr(module, "read_stamps", reading)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("others", [YEN, WON])
@pytest.mark.parametrize("before", [[], [YEN], [WON]])
def test_a_source_that_is_indexed_while_another_is_loses_nothing(
    collection, monkeypatch, before, others
):
    collection.index(before, source="0")
    interrupt(monkeypatch, indexing, lambda: collection.index([others], source="B"))
    collection.index([YEN], source="A")
    assert set(texts(collection)) == {YEN.text, others.text, *(d.text for d in before)}
    collection.sync([], source="0")
    assert set(texts(collection)) == {YEN.text, others.text}
    for source, document in (("A", YEN), ("B", others)):
        assert collection.index([document], source=source) == IndexReport(unchanged=1)
    collection.sync([], source="B")
    assert texts(collection) == [YEN.text]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("module", [indexing, pruning])
def test_a_document_that_one_source_lets_go_of_while_another_takes_it_stays(
    collection, monkeypatch, module
):
    collection.sync([YEN], source="A")
    if module is indexing:
        interrupt(monkeypatch, indexing, lambda: collection.sync([], source="A"))
        collection.index([YEN], source="B")
    else:
        held = pruning.held_by

        def joined(*arguments):
            points = list(held(*arguments))
            collection.index([YEN], source="B")
            return points

        monkeypatch.setattr(pruning, "held_by", joined)
        assert collection.sync([], source="A") == IndexReport()
    assert texts(collection) == [YEN.text]
    assert collection.index([YEN], source="B") == IndexReport(unchanged=1)


def test_eight_threads_with_sources_of_their_own_hold_what_each_gave(collection):
    shared = [Document(f"text {number}") for number in range(20)]
    sources = [str(number) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda source: collection.sync(shared, source=source), sources))
    for source in sources:
        assert collection.count() == 20
        assert collection.sync(shared, source=source) == IndexReport(unchanged=20)
        collection.sync([], source=source)
    assert collection.count() == 0


def test_a_document_that_never_stops_changing_is_an_error(collection, monkeypatch):
    monkeypatch.setattr(indexing, "carry_out", lambda *arguments: (set(arguments[-1].wanted), []))
    with pytest.raises(CollectionError, match="Other processes keep changing 1 of the documents"):
        collection.index([YEN])


@pytest.mark.parametrize("source", [None, 5, b"notes", Path("notes"), "\ud800"])
@pytest.mark.parametrize("write", ["index", "sync"])
def test_a_source_that_is_no_string_is_refused_before_anything_is_written(
    collection, source, write
):
    with pytest.raises(ValueError, match="source is"):
        getattr(collection, write)([Document("n")], source=source)
    assert collection.count() == 0
