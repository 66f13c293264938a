"""A run in shards: every query in exactly one, and all files read as one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm2vec_gen_rag.training.responses.file import (
    append_responses,
    open_responses,
    read_answers,
    read_run,
)
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.shards import Shard, run_files

ORIGIN = {"model": "mine", "max_new_tokens": 6}


def write(path, queries, origin=ORIGIN):
    answered = open_responses(path, origin)
    append_responses(path, [Response(q, q.upper(), True) for q in queries if q not in answered])
    return set(answered)


@pytest.mark.parametrize(("queries", "count"), [(1, 1), (10, 3), (4, 4)])
def test_each_query_is_in_exactly_one_shard(queries, count):
    whole = [f"query {number}" for number in range(queries)]
    parts = [Shard(index, count).of(whole) for index in range(1, count + 1)]
    assert sorted(query for part in parts for query in part) == sorted(whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_queries_added_at_the_end_leave_the_others_in_their_shards():
    whole = [f"query {number}" for number in range(10)]
    assert Shard(2, 3).of([*whole, "new", "newer"])[:3] == Shard(2, 3).of(whole)


def test_a_shard_is_parsed_as_it_is_written():
    assert Shard.parse("2/4") == Shard(2, 4)
    assert Shard(2, 4).path("runs/mine/responses.jsonl") == Path("runs/mine/responses-2-of-4.jsonl")


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "2/", "-1/2", "a/b", "1/0", "1/2/3"])
def test_a_shard_that_does_not_exist_is_refused(text):
    with pytest.raises(ValueError, match="expected i/n"):
        Shard.parse(text)


def test_an_empty_shard_is_refused():
    with pytest.raises(ValueError, match="shard 3/4 of 2 queries is empty"):
        Shard(3, 4).of(["a", "b"])


def test_all_shards_are_read_as_one_run(tmp_path):
    path, queries = tmp_path / "r.jsonl", list("abcde")
    for index in (2, 1):
        write(Shard(index, 2).path(path), Shard(index, 2).of(queries))
    write(tmp_path / "r2.jsonl", ["other"])
    assert {response.query for response in read_run(path)} == set(queries)
    assert read_answers(path, ["d", "a"]) == ["D", "A"]
    assert [file.name for file in run_files(path)] == ["r-1-of-2.jsonl", "r-2-of-2.jsonl"]


def test_what_any_file_of_the_run_answers_is_not_asked_again(tmp_path):
    path = tmp_path / "r.jsonl"
    write(Shard(1, 2).path(path), ["a", "c"])
    write(Shard(2, 2).path(path), ["b"])
    assert write(path, list("abcd")) == {"a", "b", "c"}
    assert [json.loads(line)["query"] for line in path.read_text().splitlines()] == ["d"]
    assert read_answers(path, list("abcd")) == list("ABCD")


def test_another_shard_that_is_being_written_is_left_alone(tmp_path):
    path = tmp_path / "r.jsonl"
    first = Shard(1, 2).path(path)
    write(first, ["a"])
    half_written = first.read_bytes() + b'{"query": "c", "resp'
    first.write_bytes(half_written)
    assert write(Shard(2, 2).path(path), ["b"]) == {"a"}
    assert first.read_bytes() == half_written
    assert {response.query for response in read_run(path)} == {"a", "b"}


def test_a_query_without_a_response_is_reported(tmp_path):
    write(tmp_path / "r-1-of-2.jsonl", ["a"])
    with pytest.raises(ValueError, match=r"1 of 2 queries have no response in .*such as 'b'"):
        read_answers(tmp_path / "r.jsonl", ["a", "b"])


def test_shards_of_different_models_are_no_run(tmp_path):
    write(tmp_path / "r-1-of-2.jsonl", ["a"])
    with pytest.raises(ValueError, match=r"r-1-of-2\.jsonl was written by mine"):
        write(tmp_path / "r-2-of-2.jsonl", ["b"], {**ORIGIN, "max_new_tokens": 7})
    assert not (tmp_path / "r-2-of-2.jsonl").exists()
    write(tmp_path / "other.jsonl", ["b"], {**ORIGIN, "model": "theirs"})
    for name in ("other.jsonl", "other.model.json"):
        (tmp_path / name).rename(tmp_path / name.replace("other", "r-2-of-2"))
    with pytest.raises(ValueError, match=r"r-2-of-2\.jsonl was written by .* with m"):
        read_run(tmp_path / "r.jsonl")


def test_a_run_that_is_nowhere_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"no response file .*r\.jsonl, nor one of its shards"):
        read_run(tmp_path / "r.jsonl")
