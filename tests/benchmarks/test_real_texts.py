"""Sets are cut, ranked, fused and resampled as the page of real texts says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.real_texts import safety
from benchmarks.real_texts.accuracy import (
    PLAIN,
    compared_with_float32,
    measure_accuracy,
    similarity,
    transformers_forward,
)
from benchmarks.real_texts.code_digest import COMPUTING, code_digest
from benchmarks.real_texts.decoded import own_and_another
from benchmarks.real_texts.frozen_states import centred, whitened
from benchmarks.real_texts.fusion import (
    leave_one_set_out,
    reciprocal_rank_fusion,
    weighted,
)
from benchmarks.real_texts.intervals import mean_over_sets, mean_with_interval, ratio_over_sets
from benchmarks.real_texts.kept_vectors import KeptVectors
from benchmarks.real_texts.ranking import bm25_scores, cosines, ndcg_of_queries
from benchmarks.real_texts.readers import EmbeddingReader
from benchmarks.real_texts.results_file import as_json
from benchmarks.real_texts.retrieval_sets import Cut, RetrievalSet, cut_set, read_set, unseen_set
from llm2vec_gen_rag import LLM2VecGen, cpu
from llm2vec_gen_rag.evaluation.hybrid import WEIGHTS, hybrid_ndcg
from llm2vec_gen_rag.evaluation.word_scores import WordScores, word_scores


def write_set(folder, *, documents=30, queries=6, corpus="corpus.jsonl"):
    """Write a set in which query n is about the documents 2n and 2n + 1, the first one more."""
    folder.mkdir()
    rows = [{"_id": f"d{n}", "title": f"Title {n}", "text": f"text {n}"} for n in range(documents)]
    asked = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(queries)]
    name = corpus.replace("corpus", "queries")
    for file, lines in ((corpus, rows), (name, asked)):
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in lines))
    pairs = [(n, 2 * n + extra, 2 - extra) for n in range(queries) for extra in (0, 1)]
    qrels = "".join(f"q{query}\td{document}\t{score}\n" for query, document, score in pairs)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


def asked_of(relevant, documents):
    """Return a set of documents that are named by their number."""
    ids = [str(number) for number in range(documents)]
    queries = [str(number) for number in range(len(relevant))]
    return RetrievalSet("set", ids, ids, queries, queries, relevant)


@pytest.mark.parametrize("corpus", ["corpus.jsonl", "corpus.en.jsonl"])
def test_a_set_has_title_and_text_and_the_queries_with_relevant_documents(tmp_path, corpus):
    whole = read_set(write_set(tmp_path / "few", corpus=corpus))
    assert whole.documents[3] == "Title 3 text 3"
    assert whole.relevant[1] == {"d2": 2, "d3": 1}
    assert whole.query_ids == sorted(whole.query_ids)


def test_a_cut_keeps_what_is_relevant_to_its_queries_and_is_the_same_each_time(tmp_path):
    whole = read_set(write_set(tmp_path / "few"))
    cut = cut_set(whole, Cut(documents=10, queries=3))
    assert (len(cut.documents), len(cut.queries)) == (10, 3)
    assert {name for each in cut.relevant for name in each} <= set(cut.document_ids)
    assert cut == cut_set(whole, Cut(documents=10, queries=3))
    assert cut != cut_set(whole, Cut(documents=10, queries=3), seed=1)


def test_a_cut_smaller_than_what_is_relevant_has_that_alone(tmp_path):
    cut = cut_set(read_set(write_set(tmp_path / "few")), Cut(documents=1, queries=3))
    assert sorted(cut.document_ids) == sorted(name for each in cut.relevant for name in each)


def test_unseen_queries_are_none_of_the_first_cut_and_their_documents_are_drawn_anew(tmp_path):
    whole = read_set(write_set(tmp_path / "few"))
    first, size = cut_set(whole, Cut(10, 4)), Cut(10, 4)
    unseen = unseen_set(whole, Cut(10, 4), size)
    assert sorted([*first.query_ids, *unseen.query_ids]) == whole.query_ids  # two were left
    assert unseen.document_ids != first.document_ids
    assert {name for each in unseen.relevant for name in each} <= set(unseen.document_ids)
    assert unseen_set(whole, Cut(10, 4), Cut(10, 1)).query_ids[0] in unseen.query_ids
    with pytest.raises(ValueError, match="all 6 queries of few are in its first cut"):
        unseen_set(whole, Cut(10, 6), size)


def test_a_folder_without_a_set_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"holds none of corpus\.jsonl"):
        read_set(tmp_path)


def test_qrels_of_a_document_that_is_not_there_are_reported(tmp_path):
    folder = write_set(tmp_path / "few")
    (folder / "qrels.tsv").write_text("q0\tgone\t1\n")
    with pytest.raises(ValueError, match="line 1"):
        read_set(folder)


def test_ndcg_is_one_for_the_ideal_order_and_less_for_a_later_place():
    asked = asked_of([{"0": 2, "1": 1}, {"2": 1}, {"11": 1}], documents=12)
    scores = -np.tile(np.arange(12.0), (3, 1))
    first, second, third = ndcg_of_queries(scores, asked)
    assert first == pytest.approx(1)
    assert second == pytest.approx(0.5)  # third place: 1 / log2(4)
    assert third == 0  # beyond the first ten


def test_bm25_ranks_a_rare_word_above_a_common_one_and_no_word_at_zero():
    documents = ["the cat sat", "the dog sat", "the dog ran", "A bird"]
    (scores,) = bm25_scores(["the CAT"], documents)
    assert scores.argmax() == 0
    assert scores[1] == pytest.approx(scores[2])
    assert scores[3] == 0
    # Robertson and Zaragoza's formula by hand, k1 = 0.9, b = 0.4
    norm = 0.9 * (0.6 + 0.4 * 3 / 2.75)
    idf = np.log(1 + (4 - 3 + 0.5) / (3 + 0.5))
    assert scores[1] == pytest.approx(idf * 1.9 / (1 + norm))


def test_fusion_by_rank_is_that_of_the_client_library():
    from qdrant_client import models
    from qdrant_client.hybrid.fusion import reciprocal_rank_fusion as of_qdrant

    rng = np.random.default_rng(0)
    embeddings, words = rng.normal(size=(1, 60)), rng.normal(size=(1, 60)).clip(min=0)
    fused = reciprocal_rank_fusion(embeddings, words)[0]

    def ranking(scores):
        order = [row for row in np.argsort(-scores, kind="stable") if scores[row] != 0][:50]
        return [models.ScoredPoint(id=int(row), version=0, score=scores[row]) for row in order]

    expected = of_qdrant([ranking(embeddings[0]), ranking(words[0])], limit=60)
    assert [fused[point.id] for point in expected] == pytest.approx(
        [point.score for point in expected]
    )


def test_the_ends_of_the_weight_are_either_ranking_alone():
    rng = np.random.default_rng(0)
    embeddings, bm25 = rng.normal(size=(2, 9)), rng.random(size=(2, 9))
    words = WordScores(bm25, np.ones(2))
    by_meaning, by_words = (weighted(embeddings, words, weight) for weight in (1.0, 0.0))
    assert np.argsort(by_meaning).tolist() == np.argsort(embeddings).tolist()
    assert np.argsort(by_words).tolist() == np.argsort(bm25).tolist()


def test_what_neither_ranking_has_among_its_first_is_no_candidate():
    embeddings, bm25 = -np.arange(70.0)[None], np.zeros((1, 70))
    bm25[0, 65] = 1
    fused = weighted(embeddings, WordScores(bm25, np.ones(1)), 0.5)[0]
    assert np.isfinite(fused).nonzero()[0].tolist() == [*range(50), 65]


def test_the_hybrid_finds_what_that_of_the_product_finds():
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(list("abcdefgh"), size=5)) for _ in range(80)]
    queries = ["a b h", "g", "c d z"]
    words, embeddings = word_scores(queries, texts), rng.normal(size=(3, 80))
    relevant = [{int(row): 1 for row in rng.integers(80, size=9)} for _ in queries]
    asked = asked_of([{str(row): 1 for row in each} for each in relevant], documents=80)
    found = ndcg_of_queries(weighted(embeddings, words, 0.45), asked)
    rows = zip(embeddings, words.bm25, words.shares, relevant, strict=True)
    assert found == pytest.approx([hybrid_ndcg(*row, 0.45) for row in rows])


def test_the_weight_of_a_set_is_chosen_on_the_others():
    def best_at(weight):
        return [1 - abs(weight - each) for each in WEIGHTS]

    weights = leave_one_set_out({"a": best_at(0.2), "b": best_at(0.6), "c": best_at(0.6)})
    assert weights["a"] == 0.6  # its own 0.2 has no say
    assert weights["b"] == weights["c"] == 0.2  # 0.2 to 0.6 are equally good: the lowest
    with pytest.raises(ValueError, match="at least two"):
        leave_one_set_out({"a": best_at(0.2)})


def test_whitening_has_no_direction_along_which_the_texts_are_equal():
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(9, 20)).astype(np.float32)
    queries, documents = whitened(texts[:4], texts[4:], texts[:0])
    assert queries.shape == (4, 8)
    assert np.linalg.norm(documents, axis=1) == pytest.approx(np.ones(5))


def test_centred_vectors_lose_what_they_have_in_common():
    rng = np.random.default_rng(0)
    texts = (rng.normal(size=(9, 5)) + 100).astype(np.float32)
    queries, documents = centred(texts[:4], texts[4:])
    assert np.concatenate([queries, documents]).mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-3)
    assert cosines(texts[:4], texts[4:]).min() > 0.99
    assert cosines(queries, documents).min() < 0


def test_intervals_hold_the_mean_and_shrink_with_more_queries():
    rng = np.random.default_rng(0)
    few, many = rng.random(20), rng.random(500)
    for values in (few, many):
        middle, low, high = mean_with_interval(values, "set")
        assert middle == pytest.approx(values.mean())
        assert low < middle < high
    _, low, high = mean_with_interval(few, "set")
    _, lower, higher = mean_with_interval(many, "set")
    assert higher - lower < high - low
    assert mean_with_interval(few, "set") == mean_with_interval(few, "set")


def test_a_ratio_is_resampled_with_the_same_queries_on_both_sides():
    rng = np.random.default_rng(0)
    baseline = {"a": rng.random(30) + 0.1, "b": rng.random(40) + 0.1}
    doubled = {name: 2 * ndcg for name, ndcg in baseline.items()}
    assert ratio_over_sets(doubled, baseline) == pytest.approx((2, 2, 2))
    middle, low, high = mean_over_sets(baseline)
    assert low < middle < high
    with pytest.raises(ValueError, match="no ratio"):
        ratio_over_sets(baseline, {name: 0 * ndcg for name, ndcg in baseline.items()})


def test_vectors_are_computed_once_and_again_for_other_texts(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"vectors": np.full((2, 3), len(calls), np.float32)}

    work = KeptVectors(tmp_path / "work")
    for _ in range(2):
        assert work.arrays("set.way", ["a", "b"], compute)["vectors"].max() == 1
    assert work.arrays("set.way", ["a", "c"], compute)["vectors"].max() == 2
    assert len(calls) == 2
    for _ in range(2):
        assert work.record("set", ["a"], lambda: {"texts": ["x"]}) == {"texts": ["x"]}


def test_prompts_that_were_seen_are_dropped_whatever_their_case_and_punctuation():
    seen = {safety.spelling("How do I  pick a lock?")}
    prompts = ["how do i pick a LOCK? ", "How do I pick a lock", "How do I pick a clock?"]
    assert safety.unseen(prompts, seen) == prompts[2:]


def test_held_out_questions_are_in_no_training_row(tmp_path):
    rows, questions = tmp_path / "rows.jsonl", tmp_path / "questions.jsonl"
    trained = ["Question: why is the sky blue", "Passage: the sky is blue"]
    rows.write_text("".join(json.dumps({"query": query}) + "\n" for query in trained))
    asked = ["Why is the sky blue", "who wrote it", "the sky is blue"]
    questions.write_text("".join(json.dumps({"query": query}) + "\n" for query in asked))
    found = safety.held_out_questions(questions, rows, 10)
    assert sorted(found) == ["the sky is blue", "who wrote it"]  # a passage is no question
    assert safety.training_prompts(rows, 10).ordinary == ["why is the sky blue"]


def test_the_training_prompts_of_either_kind_are_apart(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"query": "Question: who"}) + "\n")
    trained = safety.training_prompts(rows, 0)
    assert len(trained.harmful) > 100
    assert len(trained.safe) > 100
    assert not {*trained.harmful} & {*trained.safe}


def test_a_decoded_text_is_compared_with_its_own_answer_and_with_all_others():
    own, another = own_and_another(np.array([[0.9, 0.1, 0.3], [0.2, 0.5, 0.4], [0, 0.2, 0.1]]))
    assert own.tolist() == [0.9, 0.5, 0.1]
    assert another == pytest.approx([0.2, 0.3, 0.1])
    with pytest.raises(ValueError, match="at least two"):
        own_and_another(np.ones((1, 1)))


def test_vectors_of_another_kernel_have_another_key(tmp_path):
    for name in COMPUTING:
        (tmp_path / name).write_text("") if name.endswith(".py") else (tmp_path / name).mkdir()
    (tmp_path / "cpu" / "attention.py").write_text("scores = queries @ keys")
    before = code_digest(tmp_path)
    (tmp_path / "errors.py").write_text("computes nothing")
    code_digest.cache_clear()
    assert code_digest(tmp_path) == before
    (tmp_path / "cpu" / "attention.py").write_text("scores = fused(queries, keys)")
    code_digest.cache_clear()
    assert code_digest(tmp_path) != before
    code_digest.cache_clear()


def test_less_exact_vectors_are_compared_without_their_common_mean_too():
    rng = np.random.default_rng(0)
    exact = (rng.normal(size=(50, 16)) + 10).astype(np.float32)
    other = exact + rng.normal(size=exact.shape).astype(np.float32) / 10
    found = similarity(exact, other)
    assert found["worst_cosine"] <= found["mean_cosine"]
    assert found["mean_centred_cosine"] < found["mean_cosine"]
    assert similarity(exact, exact)["worst_centred_cosine"] == pytest.approx(1)


def test_a_list_of_numbers_is_one_line_of_json_and_no_text_is_changed():
    figures = {"ndcg": [0.5, 1.0, 1e-05], "texts": ["[\n1, 2]", "[ 1 ]"], "empty": []}
    text = as_json(figures)
    assert json.loads(text) == figures
    assert '"ndcg": [0.5, 1.0, 1e-05]' in text


def test_dtypes_are_compared_with_float32_on_the_same_queries(tmp_path):
    asked = cut_set(read_set(write_set(tmp_path / "few")), Cut(documents=10, queries=4))
    found = measure_accuracy("almanac", [asked], tmp_path / "work", dtypes=["int8"], max_length=3)
    measured = found["few"]
    exact, rounded = measured["dtypes"]["float32"], measured["dtypes"]["int8"]
    assert exact["documents"]["worst_cosine"] == pytest.approx(1)
    assert exact["ndcg_ratio"] == (1.0, 1.0, 1.0)
    assert 0.99 < rounded["documents"]["worst_cosine"] < 1
    assert measured["dtypes"][PLAIN]["documents"]["worst_cosine"] > 0.99999
    # as much of a text is read as for retrieval, whose vectors these are
    model = LLM2VecGen.from_pretrained("almanac", dtype="float32")
    reader = EmbeddingReader(model, KeptVectors(tmp_path / "retrieval"), 3)
    vectors = reader.documents("few", asked.documents)
    stored = np.load(tmp_path / "work" / "float32" / "few.documents.ours.npz")
    np.testing.assert_allclose(stored["vectors"], vectors, atol=1e-6)


def test_transformers_forward_is_another_one():
    model = LLM2VecGen.from_pretrained("almanac", dtype="float32")
    assert cpu.forward_for(model.backbone) is not None
    with transformers_forward():
        assert cpu.forward_for(model.backbone) is None
        padded = model.encode_document("France pays with the euro.")
    assert padded @ model.encode_document("France pays with the euro.") > 0.99999


def test_what_a_dtype_loses_is_a_share_of_what_float32_finds():
    asked = asked_of([{"0": 1}, {"1": 1}], documents=2)
    found = {"queries": np.eye(2), "documents": np.eye(2)}
    swapped = {"queries": np.eye(2), "documents": np.eye(2)[::-1]}
    compared = compared_with_float32(asked, found, swapped)
    assert compared["ndcg"] == pytest.approx(1 / np.log2(3))
    assert compared["ndcg_ratio"][0] == pytest.approx(1 / np.log2(3))
    assert compared_with_float32(asked, swapped, found)["ndcg_ratio"][0] > 1
