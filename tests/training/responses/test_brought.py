"""Rows that bring their own answer: kept in order, never asked, and never mixed with others."""

from __future__ import annotations

import json

import pytest
import slow_responses
from chat_server import Server
from child_processes import killed_when
from reference_kits import ReferenceKit

from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.respond import respond, respond_by_endpoint
from llm2vec_gen_rag.training.responses.brought import read_query_rows
from llm2vec_gen_rag.training.responses.endpoint import Endpoint
from llm2vec_gen_rag.training.responses.file import read_responses
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.shards import Shard
from llm2vec_gen_rag.training.run_folder import read_answered_queries

RECIPE = Recipe(max_new_tokens=6)
LONG = "word " * 400
ROWS = [
    {"query": "why", "response": None},
    {"query": "what is in the cellar", "response": "Wine. "},
    {"query": "where do polar bears live"},
    {"query": "tell me all of it", "response": LONG},
    {"query": "and how"},
]
GIVEN = [
    Response("what is in the cellar", "Wine. ", True, "given"),
    Response("tell me all of it", LONG, True, "given"),
]
QUERIES = [row["query"] for row in ROWS]
ASKED = {"why", "where do polar bears live", "and how"}


@pytest.fixture
def llm(fresh_model):
    return fresh_model.backbone, fresh_model.tokenizer


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_row_brings_its_answer_unchanged(tmp_path):
    rows = read_query_rows(write_rows(tmp_path / "q.jsonl", ROWS))
    assert rows.queries == QUERIES
    assert rows.brought == GIVEN


def test_only_rows_of_json_lines_bring_answers(tmp_path):
    datasets = pytest.importorskip("datasets")
    columns = {"query": ["why"], "response": ["Another model's."]}
    datasets.Dataset.from_dict(columns).to_parquet(tmp_path / "q.parquet")
    assert read_query_rows(tmp_path / "q.parquet").brought == []
    (tmp_path / "q.txt").write_text("why\n")
    assert read_query_rows(tmp_path / "q.txt").brought == []


def test_a_query_in_the_field_of_the_answer_brings_none(tmp_path):
    path = write_rows(tmp_path / "q.jsonl", [{"response": "why"}])
    rows = read_query_rows(path, column="response")
    assert (rows.queries, rows.brought) == (["why"], [])


@pytest.mark.parametrize("answer", ["", " \n", 3, ["a"], {"text": "a"}, False])
def test_the_line_of_an_unusable_answer_is_reported(tmp_path, answer):
    rows = [{"query": "why"}, {"query": "how", "response": answer}]
    with pytest.raises(ValueError, match=r"q\.jsonl, line 2 brings .* as its answer; expected a s"):
        read_query_rows(write_rows(tmp_path / "q.jsonl", rows))


def test_the_llm_is_asked_only_for_what_is_not_brought(llm, tmp_path):
    prompts = []

    def count(_, arguments, named):
        if named["past_key_values"] is None:
            prompts.append(len(named["inputs_embeds"]))

    llm[0].base_model.register_forward_pre_hook(count, with_kwargs=True)
    responses = read_responses(respond(*llm, QUERIES, RECIPE, tmp_path, brought=GIVEN))
    assert sum(prompts) == len(ASKED)
    assert responses[:2] == GIVEN
    assert {response.query for response in responses if response.source == "llm"} == ASKED
    assert len(responses) == len(QUERIES)


def test_the_later_stages_read_answers_of_every_source(llm, tmp_path):
    respond(*llm, QUERIES, RECIPE, tmp_path, brought=GIVEN)
    answered = read_answered_queries(tmp_path)
    given, asked = (answered.queries.index(query) for query in ("tell me all of it", "why"))
    assert (answered.answers[given], answered.sources[given]) == (LONG, "given")
    assert answered.sources[asked] == "llm"


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_server_is_not_asked_either(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    endpoint = Endpoint(server.url, "served")
    path = respond_by_endpoint(endpoint, QUERIES, RECIPE, tmp_path, brought=GIVEN)
    server.close()
    assert set(server.asked) == ASKED
    assert read_responses(path)[:2] == GIVEN


def test_each_shard_writes_the_answers_of_its_own_queries(llm, tmp_path):
    for index in (1, 2):
        respond(*llm, QUERIES, RECIPE, tmp_path, brought=GIVEN, shard=Shard(index, 2))
    assert [
        [response.source for response in read_responses(tmp_path / f"responses-{index}-of-2.jsonl")]
        for index in (1, 2)
    ] == [["llm"] * 3, ["given"] * 2]


def test_a_run_of_given_answers_alone_asks_nothing(llm, tmp_path):
    llm[0].base_model.register_forward_pre_hook(lambda *_: pytest.fail("the LLM was asked"))
    queries = [response.query for response in GIVEN]
    assert read_responses(respond(*llm, queries, RECIPE, tmp_path, brought=GIVEN)) == GIVEN


def answer_slowly(folder):
    slow_responses.write_slowly()
    answer_many(folder)


def answer_many(folder):
    model = ReferenceKit("qwen3-10").load()
    queries = [f"question number {number} about bears" for number in range(60)]
    brought = [Response(query, query.upper(), True, "given") for query in queries[::3]]
    llm = model.backbone, model.tokenizer
    respond(*llm, queries, RECIPE, folder, brought=brought, batch_size=4)


def test_a_killed_run_with_given_answers_ends_in_the_same_file(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    path = killed / "responses.jsonl"

    def due():
        return path.exists() and path.read_bytes().count(b"\n") >= 28

    killed_when(due, answer_slowly, killed)
    kept = path.read_bytes().rpartition(b"\n")[0] + b"\n"
    assert 28 <= kept.count(b"\n") < 60
    answer_many(killed)
    answer_many(whole)
    assert path.read_bytes() == (whole / "responses.jsonl").read_bytes()


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_kill_amid_the_given_answers_writes_them_once(llm, tmp_path, cut):
    path = respond(*llm, QUERIES, RECIPE, tmp_path, brought=GIVEN)
    whole = path.read_bytes()
    first_two = b"\n".join(whole.split(b"\n")[:2]) + b"\n"
    path.write_bytes(first_two[:-cut])
    respond(*llm, QUERIES, RECIPE, tmp_path, brought=GIVEN)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("brought", "message"),
    [
        ([], r"'what is in the cellar' has the answer 'Wine. ' \(given\) .* the LLM is to answer"),
        (
            [Response("why", "Because.", True, "given"), *GIVEN],
            r"'why' has .* \(llm\) .* it brings",
        ),
        (
            [Response("what is in the cellar", "Beer.", True, "given"), GIVEN[1]],
            r"'Wine. ' \(given\) .* it brings the answer 'Beer.' \(given\)",
        ),
        (
            [Response("what is in the cellar", "Wine. ", True, "policy", "drinks"), GIVEN[1]],
            r"it brings the answer 'Wine. ' \(policy 'drinks'\)",
        ),
    ],
)
def test_a_run_of_other_answers_is_refused_and_left_whole(llm, tmp_path, brought, message):
    path = respond(*llm, QUERIES, RECIPE, tmp_path, brought=GIVEN)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        respond(*llm, QUERIES, RECIPE, tmp_path, brought=brought)
    assert path.read_bytes() == before
    assert len(read_answered_queries(tmp_path).queries) == len(QUERIES)


def test_a_shard_that_was_refused_is_not_taken_for_finished(llm, tmp_path):
    respond(*llm, QUERIES, RECIPE, tmp_path, brought=GIVEN, shard=Shard(1, 3))
    moved = [QUERIES[1], QUERIES[0], *QUERIES[2:]]
    brought = [Response("why", "Because.", True, "given"), *GIVEN]
    with pytest.raises(ValueError, match=r"now it brings the answer 'Because"):
        respond(*llm, moved, RECIPE, tmp_path, brought=brought, shard=Shard(2, 3))
    with pytest.raises(ValueError, match=r"responses-2-of-3\.jsonl are unfinished"):
        read_answered_queries(tmp_path)


@pytest.mark.parametrize(
    ("brought", "message"),
    [
        (Response("why", " ", True, "given"), "'why' brings ' ' as its answer"),
        (Response("why", "Because.", True), "'why' brings an answer of the LLM"),
        (Response("who", "Me.", True, "given"), "'who' brings an answer, but is not among"),
        (GIVEN[0], "'what is in the cellar' brings two answers"),
    ],
)
def test_unusable_answers_are_refused_before_a_file_exists(llm, tmp_path, brought, message):
    with pytest.raises(ValueError, match=message):
        respond(*llm, QUERIES, RECIPE, tmp_path / "mine", brought=[*GIVEN, brought])
    assert not (tmp_path / "mine").exists()


def test_a_file_that_names_no_sources_is_the_llms(tmp_path):
    path = write_rows(tmp_path / "r.jsonl", [{"query": "a", "response": "b", "finished": False}])
    assert read_responses(path) == [Response("a", "b", False, "llm")]


def test_a_source_that_is_none_is_reported(tmp_path):
    row = {"query": "a", "response": "b", "finished": True, "source": "hearsay"}
    with pytest.raises(ValueError, match=r"r\.jsonl, line 1 has source 'hearsay', not one of"):
        read_responses(write_rows(tmp_path / "r.jsonl", [row]))
