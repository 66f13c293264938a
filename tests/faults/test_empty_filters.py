"""What restricts nothing deletes nothing, however deep it is empty; `Filter()` alone is "all"."""

from __future__ import annotations

import pytest
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from qdrant_client import models

from llm2vec_gen_rag.qdrant import Document

Filter = models.Filter
KEPT = models.FieldCondition(key="metadata.n", match=models.MatchValue(value=1))


def at_least(count: int, *conditions: models.Condition) -> models.Filter:
    return Filter(min_should=models.MinShould(conditions=[*conditions], min_count=count))


NOTHING = {
    "must": Filter(must=[]),
    "must and should": Filter(must=[], should=[]),
    "one level down": Filter(must=[Filter(must=[])]),
    "should": Filter(should=[Filter(should=[])]),
    "two levels down": Filter(must=[Filter(should=[Filter(must_not=[])])]),
    "alone": Filter(must=Filter(must=[])),
    "all, one level down": Filter(must=[Filter()]),
    "none of none": Filter(must_not=[Filter(must_not=[Filter()])]),
    "none of all": Filter(must_not=[Filter(must=[])]),
    "one of some": at_least(1, Filter(must=[])),
    "one of none": at_least(1),
    "one of no ids": Filter(must=[models.HasIdCondition(has_id=[])]),
}
EVERYTHING = {
    "one of two": Filter(should=[KEPT, Filter(must=[])]),
    "not none": Filter(must_not=[Filter(must=[KEPT, Filter(must_not=[Filter()])])]),
    "one of several": at_least(1, KEPT, Filter()),
    "none of no ids": Filter(must_not=[models.HasIdCondition(has_id=[])]),
    "none of no values": Filter(
        must_not=models.FieldCondition(key="metadata.n", match=models.MatchAny(any=[]))
    ),
    "all but no values": Filter(
        must=models.FieldCondition(key="metadata.n", match=models.MatchExcept(**{"except": []}))
    ),
}
SOME = {
    "an empty one beside": Filter(must=[KEPT, Filter(must=[])]),
    "an empty list beside": Filter(must=[], should=[KEPT]),
    "none of none beside": Filter(must=[KEPT], must_not=[Filter(must_not=[Filter()])]),
    "two of two": at_least(2, KEPT, Filter()),
}


def by_delete(collection, where):
    collection.client.delete("notes", where)


def by_selector(collection, where):
    collection.client.delete("notes", models.FilterSelector(filter=where))


def by_batch(collection, where):
    delete = models.DeleteOperation(delete=models.FilterSelector(filter=where))
    collection.client.batch_update_points("notes", [delete])


WAYS = [by_delete, by_selector, by_batch]


@pytest.fixture
def two(collection):
    collection.index([Document(str(n), id=str(n), metadata={"n": n}) for n in (1, 2)])
    return collection


@pytest.mark.parametrize("delete", WAYS)
@pytest.mark.parametrize("where", NOTHING.values(), ids=NOTHING)
def test_a_filter_of_empty_lists_deletes_nothing_however_deep(two, delete, where):
    delete(two, where)
    assert two.count() == 2


@pytest.mark.parametrize("delete", WAYS)
@pytest.mark.parametrize("where", EVERYTHING.values(), ids=EVERYTHING)
def test_a_filter_that_an_empty_one_opens_to_everything_is_refused(two, delete, where):
    assert two.client.count("notes", count_filter=where).count == 2  # so Qdrant reads it
    with pytest.raises(ValueError, match=r"every point passes.*expected.*pass Filter\(\)"):
        delete(two, where)
    assert two.count() == 2


@pytest.mark.parametrize("delete", WAYS)
@pytest.mark.parametrize("where", SOME.values(), ids=SOME)
def test_a_filter_that_restricts_deletes_what_passes(two, delete, where):
    delete(two, where)
    assert [hit.id for hit in two.search("x")] == ["2"]


def test_filter_itself_deletes_everything(two):
    for delete in WAYS:
        two.index([Document("one", id="1")])
        delete(two, Filter())
        assert two.count() == 0


def test_llama_index_deletes_nothing_by_filters_that_are_empty(two):
    filters = MetadataFilters(filters=[])
    for _ in range(3):
        two.as_llama_index().delete_nodes(filters=filters)
        filters = MetadataFilters(filters=[filters])
    not_in = MetadataFilter(key="n", value=[], operator=FilterOperator.NIN)
    with pytest.raises(ValueError, match="every point passes"):
        two.as_llama_index().delete_nodes(filters=MetadataFilters(filters=[not_in]))
    assert two.count() == 2
