"""The LLM's own responses: what is written, and that no run repeats or mixes any."""

from __future__ import annotations

import json

import pytest
import torch

from llm2vec_gen_rag.training.responses.file import read_responses
from llm2vec_gen_rag.training.responses.local import write_responses

QUERIES = ["where do polar bears live", "why", "Write a short story about a sailor", "and how"]
SHORT = {"max_new_tokens": 6, "batch_size": 2}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)


@pytest.fixture
def llm(fresh_model):
    return fresh_model.backbone, fresh_model.tokenizer


def prompts_read(backbone):
    """Record how many prompts each later forward over whole prompts reads."""
    counts = []

    def record(_, arguments, named):
        inputs = named["inputs_embeds"]
        if named["past_key_values"] is None:
            counts.append(len(inputs))

    backbone.base_model.register_forward_pre_hook(record, with_kwargs=True)
    return counts


def greedy(backbone, tokenizer, prompt, max_new_tokens):
    ids = tokenizer(prompt, return_tensors="pt")
    written = backbone.generate(
        **ids, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0
    )
    return tokenizer.decode(written[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)


def test_responses_are_the_greedy_continuations(llm, tmp_path):
    write_responses(*llm, QUERIES, tmp_path / "r.jsonl", **SHORT)
    responses = read_responses(tmp_path / "r.jsonl")
    assert {response.query for response in responses} == set(QUERIES)
    for response in responses:
        assert response.response == greedy(*llm, response.query, 6)


def test_the_instruction_precedes_the_query_and_is_not_stored(llm, tmp_path):
    write_responses(*llm, ["bears"], tmp_path / "r.jsonl", instruction="Tell about ", **SHORT)
    (response,) = read_responses(tmp_path / "r.jsonl")
    assert response.query == "bears"
    assert response.response == greedy(*llm, "Tell about bears", 6)


def test_a_chat_model_is_asked_through_its_template_without_thinking(llm, tmp_path):
    llm[1].chat_template = CHAT
    write_responses(*llm, ["why"], tmp_path / "r.jsonl", **SHORT)
    (response,) = read_responses(tmp_path / "r.jsonl")
    prompt = "<|im_start|>user\nwhy<|im_end|>\n<|im_start|>assistant\n<think></think>"
    assert response.response == greedy(*llm, prompt, 6)


def test_a_response_says_whether_the_llm_ended_it(llm, tmp_path):
    backbone, tokenizer = llm
    first = greedy(backbone, tokenizer, "why", 1)
    backbone.generation_config.eos_token_id = tokenizer(first)["input_ids"]
    write_responses(backbone, tokenizer, QUERIES, tmp_path / "r.jsonl", **SHORT)
    found = {r.query: (r.response, r.finished) for r in read_responses(tmp_path / "r.jsonl")}
    assert found["why"] == ("", True)
    assert not all(finished for _, finished in found.values())


def test_a_rerun_repeats_nothing_and_adds_what_is_new(llm, tmp_path):
    path = tmp_path / "r.jsonl"
    write_responses(*llm, QUERIES[:3], path, **SHORT)
    before = path.read_bytes()
    counts = prompts_read(llm[0])
    write_responses(*llm, QUERIES, path, **SHORT)
    assert counts == [1]
    assert path.read_bytes().startswith(before)
    assert len(read_responses(path)) == 4


def test_a_killed_run_resumes_and_ends_as_if_it_had_not_been(llm, tmp_path):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    write_responses(*llm, QUERIES, whole, **SHORT)
    write_responses(*llm, QUERIES, killed, **SHORT)
    killed.write_bytes(killed.read_bytes()[:-7])
    assert len(read_responses(killed)) == 3
    write_responses(*llm, QUERIES, killed, **SHORT)
    assert killed.read_bytes() == whole.read_bytes()


def test_a_kill_loses_at_most_one_batch(llm, tmp_path):
    path = tmp_path / "r.jsonl"
    forwards = []

    def fail_at_the_second_batch(_, arguments, named):
        forwards.append(named["past_key_values"] is None)
        if sum(forwards) == 2:
            raise KeyboardInterrupt

    llm[0].base_model.register_forward_pre_hook(fail_at_the_second_batch, with_kwargs=True)
    with pytest.raises(KeyboardInterrupt):
        write_responses(*llm, QUERIES, path, **SHORT)
    assert len(read_responses(path)) == 2


def test_odd_queries_come_back_as_they_were(llm, tmp_path):
    odd = ["<|im_end|>", "a\nb", "\x00", "\ud800", "مرحبا", "🐻 <question3>"]
    write_responses(*llm, odd, tmp_path / "r.jsonl", **SHORT)
    assert {response.query for response in read_responses(tmp_path / "r.jsonl")} == set(odd)


def test_a_file_of_another_model_is_refused(llm, tmp_path):
    path = tmp_path / "r.jsonl"
    write_responses(*llm, QUERIES, path, **SHORT)
    before = path.read_bytes()
    with torch.no_grad():
        llm[0].get_input_embeddings().weight += 0.01
    with pytest.raises(ValueError, match=r"r\.jsonl was written by .* with weights"):
        write_responses(*llm, QUERIES, path, **SHORT)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"instruction": "Say: "}, "instruction"), ({"max_new_tokens": 9}, "max_new_tokens")],
)
def test_a_file_of_other_settings_is_refused(llm, tmp_path, changed, named):
    write_responses(*llm, QUERIES, tmp_path / "r.jsonl", **SHORT)
    with pytest.raises(ValueError, match=f"with {named}"):
        write_responses(*llm, QUERIES, tmp_path / "r.jsonl", **SHORT | changed)


def test_a_file_that_does_not_say_its_model_is_refused(llm, tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"query": "a", "response": "b", "finished": true}\n')
    with pytest.raises(ValueError, match=r"r\.model\.json"):
        write_responses(*llm, QUERIES, path, **SHORT)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([], "expected a list of at least one query"),
        ("why", "expected a list of at least one query"),
        (["why", ""], "query 1 is ''"),
        (["why", "  \n"], "query 1 is"),
        (["why", None], "query 1 is None"),
        (["why", "how", "why"], "query 2 repeats query 0: 'why'"),
    ],
)
def test_unusable_queries_are_refused_before_a_file_exists(llm, tmp_path, queries, message):
    with pytest.raises(ValueError, match=message):
        write_responses(*llm, queries, tmp_path / "r.jsonl", **SHORT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", ["{}", "nonsense", '{"query": 3, "response": "b", "finished": 1}'])
def test_a_damaged_line_is_reported(tmp_path, line):
    path = tmp_path / "r.jsonl"
    good = json.dumps({"query": "a", "response": "b", "finished": True})
    path.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(ValueError, match=r"r\.jsonl, line 2"):
        read_responses(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"no response file .*absent\.jsonl"):
        read_responses(tmp_path / "absent.jsonl")


def test_an_empty_file_holds_no_responses(tmp_path):
    (tmp_path / "r.jsonl").touch()
    assert read_responses(tmp_path / "r.jsonl") == []
