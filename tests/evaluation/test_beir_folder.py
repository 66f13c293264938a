"""A local folder is measured as MTEB's own tasks are, and what is wrong with it is told."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mteb", reason="the extra eval brings it")

from retrieval_folder import DOCUMENTS, QRELS, QUERIES, write_folder, write_rows

from llm2vec_gen_rag.evaluation.advbench_ir import AdvBench, evaluate_advbench
from llm2vec_gen_rag.evaluation.almanac import evaluate
from llm2vec_gen_rag.evaluation.beir_folder import FolderTask, evaluate_folder, folder_table
from llm2vec_gen_rag.evaluation.compared_folder import compare_folder
from llm2vec_gen_rag.evaluation.hybrid_folder import tune_folder
from llm2vec_gen_rag.evaluation.model_meta import model_meta
from llm2vec_gen_rag.evaluation.mteb_encoder import MtebEncoder
from llm2vec_gen_rag.evaluation.refusals import PromptSet, evaluate_refusals


def test_scores_are_those_of_the_model_s_own_vectors(model, tmp_path):
    report = evaluate_folder(model, FolderTask(write_folder(tmp_path / "tiny")))
    documents = [f"{title} {text}".strip() for title, text in DOCUMENTS.values()]
    scores = model.encode_query(list(QUERIES.values())) @ model.encode_document(documents).T
    ranks = [1 + int((row > row[right]).sum()) for row, right in zip(scores, [0, 1], strict=True)]
    expected = np.mean([1 / np.log2(1 + rank) for rank in ranks])
    assert report.scores["ndcg_at_10"] == pytest.approx(expected, abs=1e-4)
    assert report.scores["mrr_at_10"] == pytest.approx(
        np.mean([1 / rank for rank in ranks]), abs=1e-4
    )
    assert report.scores["recall_at_10"] == 1
    assert (report.folder, report.documents, report.queries) == ("tiny", 4, 2)
    assert report.instruction == model.prompts.for_query("retrieval")
    assert "| tiny | 4 | 2 | " in folder_table([report])


def test_an_instruction_of_one_s_own_changes_the_vectors(model, tmp_path):
    task = FolderTask(write_folder(tmp_path / "tiny"))
    report = evaluate_folder(model, task, instruction="Bears! ")
    assert report.instruction == "Bears! "


@pytest.mark.parametrize(
    ("queries", "qrels"),
    [
        ("queries_dev.jsonl", "qrels_dev.tsv"),
        ("queries.jsonl", "qrels/dev.tsv"),
        ("queries.jsonl", "qrels.tsv"),
    ],
)
def test_each_layout_is_found(tmp_path, queries, qrels):
    task = FolderTask(write_folder(tmp_path / "f", queries=queries, qrels=qrels), "dev")
    assert task.dataset["default"]["dev"]["relevant_docs"] == {"q1": {"oslo": 1}, "q2": {"yen": 2}}


def test_a_query_with_no_relevant_document_is_left_out(tmp_path):
    folder = write_folder(tmp_path / "f", qrels_text="q1\toslo\t1\nq2\tcat\t0\n")
    assert FolderTask(folder).questions == 1


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        (QRELS + "q3\toslo\t1\n", "line 5 has query 'q3' and document 'oslo'"),
        (QRELS + "q1\tparis\t1\n", "line 5 has query 'q1' and document 'paris'"),
        ("q1 0 oslo 1\n", "line 1 is 'q1 0 oslo 1'; expected query-id"),
        ("q1\toslo\tyes\n", "expected query-id, corpus-id and a whole number"),
        ("query-id\tcorpus-id\tscore\n", "holds no relevant document"),
    ],
)
def test_broken_qrels_are_reported(tmp_path, qrels, message):
    folder = write_folder(tmp_path / "f", qrels_text=qrels)
    with pytest.raises(ValueError, match=message):
        FolderTask(folder)


def test_missing_files_and_repeated_ids_are_reported(tmp_path):
    folder = write_folder(tmp_path / "f", qrels="qrels_dev.tsv")
    with pytest.raises(ValueError, match=r"holds none of qrels_test\.tsv, qrels\.tsv"):
        FolderTask(folder)
    write_rows(
        folder / "corpus.jsonl", [{"_id": "oslo", "text": "a"}, {"_id": "oslo", "text": "b"}]
    )
    with pytest.raises(ValueError, match="2 rows have 1 different _id"):
        FolderTask(folder, "dev")


@pytest.mark.parametrize(
    "measure",
    [evaluate_folder, compare_folder, tune_folder, evaluate_advbench, evaluate_refusals,
     MtebEncoder, model_meta, lambda model, _: evaluate(model)],
)  # fmt: skip
def test_what_is_no_loaded_model_is_not_measured(measure):
    for given in ("almanac", None):
        with pytest.raises(ValueError, match=r"model is .* \(\w+\); .*LLM2VecGen\.from_pretrained"):
            measure(given, None)


def test_a_folder_is_given_as_a_string_or_a_path(tmp_path):
    write_folder(tmp_path / "tiny")
    assert FolderTask(str(tmp_path / "tiny")).documents == len(DOCUMENTS)
    for read in (FolderTask, AdvBench.from_folder, PromptSet.from_folder):
        with pytest.raises(ValueError, match="the folder is 3; expected a path"):
            read(3)
