"""Queries from files and datasets: what is read, and which line an error reports."""

from __future__ import annotations

import json

import pytest
from hidden_modules import import_without

from llm2vec_gen_rag.errors import MissingExtraError
from llm2vec_gen_rag.training import queries as queries_module
from llm2vec_gen_rag.training.queries import check_queries, read_queries

QUERIES = ["where do polar bears live", " spaces stay ", "مرحبا\u2028🐻"]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path, rows, column="query"):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({column: rows}).to_parquet(path)
    return path


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
@pytest.mark.parametrize("name", ["q.txt", "q"])
def test_text_has_one_query_a_line_as_it_stands(tmp_path, name, ending):
    lines = (ending or "\n").join(QUERIES) + ending
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert read_queries(tmp_path / name) == QUERIES


def test_jsonl_has_one_object_a_line(tmp_path):
    path = write_jsonl(tmp_path / "q.jsonl", [{"id": 1, "query": query} for query in QUERIES])
    assert read_queries(path) == QUERIES
    path = write_jsonl(tmp_path / "p.jsonl", [{"prompt": query} for query in QUERIES])
    assert read_queries(path, column="prompt") == QUERIES


def test_parquet_has_a_column(tmp_path):
    assert read_queries(write_parquet(tmp_path / "q.parquet", QUERIES)) == QUERIES
    assert read_queries(write_parquet(tmp_path / "p.parquet", QUERIES, "p"), column="p") == QUERIES


def test_a_folder_of_data_files_is_a_dataset(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "mine").mkdir()
    write_jsonl(tmp_path / "mine" / "train.jsonl", [{"query": query} for query in QUERIES])
    write_jsonl(tmp_path / "mine" / "test.jsonl", [{"query": "held out"}])
    assert read_queries(tmp_path / "mine") == QUERIES
    assert read_queries(tmp_path / "mine", split="test") == ["held out"]


def test_a_saved_dataset_is_read_with_its_splits(tmp_path):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict({"query": QUERIES})
    one.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"mine": one}).save_to_disk(tmp_path / "splits")
    assert read_queries(tmp_path / "one") == QUERIES
    assert read_queries(tmp_path / "splits", split="mine") == QUERIES
    with pytest.raises(ValueError, match="cannot be read as a dataset with a split 'train'"):
        read_queries(tmp_path / "splits")


def test_a_dataset_that_is_nowhere_is_reported(monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="'no-such/dataset' cannot be read as a dataset"):
        read_queries("no-such/dataset")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "q.txt holds no queries"),
        ("\n\n", "q.txt holds no queries"),
        ("why\n\nhow\n", "q.txt, line 2 is ''; expected a string"),
        ("why\nhow\n \t\n", r"q.txt, line 3 is ' \\t'"),
        ("why\nhow\nwhy\n", "q.txt, line 3 repeats .*q.txt, line 1: 'why'"),
    ],
)
def test_the_line_of_an_unusable_query_is_reported(tmp_path, lines, message):
    (tmp_path / "q.txt").write_text(lines)
    with pytest.raises(ValueError, match=message):
        read_queries(tmp_path / "q.txt")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "q.jsonl, line 2 is not JSON"),
        ("", "q.jsonl, line 2 is not JSON"),
        ('"why"', "q.jsonl, line 2 is 'why'; expected a JSON object"),
        ('{"prompt": "why", "id": 3}', "q.jsonl, line 2 has no 'query', but 'prompt', 'id'"),
        ('{"query": null}', "q.jsonl, line 2 is None"),
        ('{"query": ["why"]}', r"q.jsonl, line 2 is \['why'\]"),
        ('{"query": "a"}', "q.jsonl, line 2 repeats .*q.jsonl, line 1"),
    ],
)
def test_the_line_of_an_unusable_row_is_reported(tmp_path, row, message):
    (tmp_path / "q.jsonl").write_text(f'{{"query": "a"}}\n{row}\n{{"query": "b"}}\n')
    with pytest.raises(ValueError, match=message):
        read_queries(tmp_path / "q.jsonl")


def test_the_row_of_an_unusable_query_in_parquet_is_reported(tmp_path):
    with pytest.raises(ValueError, match="row 1 is None"):
        read_queries(write_parquet(tmp_path / "q.parquet", ["why", None, "how"]))
    with pytest.raises(ValueError, match="has no 'question', but 'query'"):
        read_queries(tmp_path / "q.parquet", column="question")
    (tmp_path / "q.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"q\.parquet cannot be read as Parquet"):
        read_queries(tmp_path / "q.parquet")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "q.csv").write_text("query\nwhy\n")
    with pytest.raises(ValueError, match=r"q\.csv is of a kind that cannot be read"):
        read_queries(tmp_path / "q.csv")
    (tmp_path / "q.txt").write_bytes("größe".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8 at byte 2"):
        read_queries(tmp_path / "q.txt")
    for name in ("absent.txt", "absent.jsonl", "absent"):
        with pytest.raises(ValueError, match=r"there is no file .*absent"):
            read_queries(tmp_path / name)


def test_a_missing_extra_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "q.parquet").touch()
    monkeypatch.setattr("llm2vec_gen_rag.errors.find_spec", lambda name: None)
    for source in (tmp_path / "q.parquet", "owner/name"):
        with pytest.raises(MissingExtraError, match=r"pip install 'llm2vec-gen-rag\[datasets\]'"):
            read_queries(source)


@pytest.mark.parametrize("hidden", ["datasets", "pyarrow", "httpx"])
def test_no_extra_is_needed_to_read_text(hidden):
    ran = import_without(hidden, queries_module.__name__)
    assert ran.returncode == 0, ran.stderr
    assert not ran.stdout


def test_a_list_is_checked_by_its_rows():
    check_queries(QUERIES)
    with pytest.raises(ValueError, match="query 1 is 7"):
        check_queries(["a", 7])
