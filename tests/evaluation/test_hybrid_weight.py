"""The weight of hybrid search is fitted on judged queries, and tested on others."""

from __future__ import annotations

import numpy as np
import pytest

from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.evaluation.almanac import group_name
from llm2vec_gen_rag.evaluation.hybrid import FOLDS, tune
from llm2vec_gen_rag.evaluation.word_scores import WordScores, word_scores
from llm2vec_gen_rag.qdrant import Document, DocumentCollection
from llm2vec_gen_rag.qdrant.points.bm25 import query_vector

TEXTS = ["The yen is money, money of Japan.", "A bear, QX-77131.", "東京に住む。", "", "The end."]


def test_bm25_is_that_of_qdrant(model):
    queries = ["the money of Japan", "QX-77131", "東京", "nothing here", "!?"]
    ours = word_scores(queries, TEXTS).bm25
    with DocumentCollection.open(":memory:", "notes", model) as collection:
        collection.index(Document(text, id=str(row)) for row, text in enumerate(TEXTS))
        for query, expected in zip(queries, ours, strict=True):
            words = query_vector(query)
            found = (
                collection.client.query_points(
                    "notes", query=words, using="bm25", with_payload=True
                ).points
                if words.indices
                else []
            )
            scores = np.zeros(len(TEXTS))
            for point in found:
                scores[int(point.payload["_llm2vec_gen"]["id"])] = point.score
            assert scores == pytest.approx(expected, rel=1e-5)


def test_the_share_is_of_the_query_s_words_in_its_best_document():
    queries = ["the money of Japan", "Japan and the QX-77131", "nothing here", "!?"]
    # a word in parts counts as a whole and by each part: QX-77131 is three words
    assert word_scores(queries, TEXTS).shares == pytest.approx([1, 0.5, 0, 0])


@pytest.fixture
def judged():
    """Forty queries on sixty documents: random scores, and the relevant document of each."""
    rng = np.random.default_rng(0)
    right = rng.integers(60, size=40)
    cosines, words = rng.random((40, 60)), rng.random((40, 60)) + 0.01
    return cosines, words, right


def tuned(cosines, words, right, default=0.5):
    scores = WordScores(words, np.ones(len(words)))
    return tune("made up", cosines, scores, [{int(row): 1} for row in right], default)


def test_the_better_of_the_two_gets_the_weight(judged):
    cosines, words, right = judged
    queries = np.arange(40)
    found = cosines.copy()
    found[queries, right] = 2
    by_meaning = tuned(found, words, right)
    assert (by_meaning.weight > 0.5, by_meaning.dense.mean, by_meaning.hybrid.mean) == (True, 1, 1)
    found = words.copy()
    found[queries, right] = 2
    by_words = tuned(cosines, found, right)
    assert (by_words.weight < 0.5, by_words.words.mean, by_words.hybrid.mean) == (True, 1, 1)


def test_where_each_half_knows_something_both_find_more(judged):
    cosines, words, right = judged
    queries = np.arange(40)
    cosines[queries, right] += 0.4
    words[queries, right] += 0.4
    found = tuned(cosines, words, right)
    assert found.hybrid.mean > max(found.dense.mean, found.words.mean)
    assert found.hybrid.low < found.hybrid.mean < found.hybrid.high
    assert len(found.fold_weights) == FOLDS
    assert found == tuned(cosines, words, right)
    assert f"weight={found.weight:g}" in found.as_text()
    assert f"--weight {found.weight:g}" in found.as_text()


def test_too_few_judged_queries_are_refused(judged):
    few = [part[:9] for part in judged]
    with pytest.raises(ValueError, match="has 9 judged queries; expected at least 10"):
        tuned(*few)


@pytest.mark.slow
def test_on_each_split_of_the_almanac_the_tuned_hybrid_is_as_good_as_the_better_half():
    model = LLM2VecGen.from_pretrained("almanac")
    groups: dict[str, list[almanac.Question]] = {}
    for question in almanac.held_out_questions():
        groups.setdefault(group_name(question), []).append(question)
    del groups["harmful"]  # whose pages an embedding should not find, and words do
    asked = {name: questions[:40] for name, questions in groups.items()}
    documents = almanac.documents()
    place = {document.id: row for row, document in enumerate(documents)}
    texts = [document.text for document in documents]
    vectors = model.encode_document(texts)
    for name, questions in asked.items():
        queries = [question.text for question in questions]
        cosines = (model.encode_query(queries) @ vectors.T).astype(np.float64)
        relevant = [{place[question.document_id]: 1} for question in questions]
        found = tune(name, cosines, word_scores(queries, texts), relevant, 0.5)
        assert found.hybrid.mean >= max(found.dense.mean, found.words.mean) - 0.01, name
