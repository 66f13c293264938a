"""Sampling as the model's generation config says: the same numbers for a query, wherever it is."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from llm2vec_gen_rag.training.responses.decoding import as_decoding
from llm2vec_gen_rag.training.responses.file import read_responses
from llm2vec_gen_rag.training.responses.local import write_responses
from llm2vec_gen_rag.training.responses.sampling import SampledTokens, sampling_settings

QUERIES = ["where do polar bears live", "why", "Write a short story about a sailor", "and how"]
SHORT = {"max_new_tokens": 8, "decoding": "sampled"}


@pytest.fixture
def llm(fresh_model):
    config = fresh_model.backbone.generation_config
    config.do_sample, config.temperature, config.top_k, config.top_p = True, 0.9, 40, 0.95
    return fresh_model.backbone, fresh_model.tokenizer


def responses(llm, queries, path, **settings):
    write_responses(*llm, queries, path, **SHORT | settings)
    return {response.query: response.response for response in read_responses(path)}


def test_a_query_is_answered_the_same_alone_and_in_any_batch(llm, tmp_path):
    together = responses(llm, QUERIES, tmp_path / "1.jsonl", batch_size=4)
    assert together == responses(llm, QUERIES[::-1], tmp_path / "2.jsonl", batch_size=1)
    assert together != responses(llm, QUERIES, tmp_path / "3.jsonl", seed=43)
    assert responses(llm, ["why"], tmp_path / "4.jsonl") == {"why": together["why"]}


def test_a_run_that_resumes_ends_as_if_it_had_not_been_stopped(llm, tmp_path):
    responses(llm, QUERIES, tmp_path / "whole.jsonl", batch_size=2)
    responses(llm, QUERIES, tmp_path / "stopped.jsonl", batch_size=2)
    lines = (tmp_path / "stopped.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "stopped.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:9])
    responses(llm, QUERIES, tmp_path / "stopped.jsonl", batch_size=2)
    assert (tmp_path / "stopped.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_tokens_are_drawn_with_the_probabilities_of_generate(llm):
    backbone, tokenizer = llm
    ids = tokenizer("why", return_tensors="pt")["input_ids"]
    logits = backbone(ids).logits[:, -1]
    kept = logits[0].topk(40)
    by_top_k = (kept.values / 0.9).softmax(dim=-1)
    nucleus = by_top_k * (by_top_k.cumsum(dim=-1) - by_top_k < 0.95)
    expected = dict(zip(kept.indices.tolist(), (nucleus / nucleus.sum()).tolist(), strict=True))
    draws = 4000
    pick = SampledTokens(
        sampling_settings(backbone.generation_config),
        [ids[0].numpy()] * draws,
        list(range(draws)),
        max_new_tokens=1,
        device=logits.device,
    )
    counts = Counter(pick(logits.expand(draws, -1), range(draws)).tolist())
    assert set(counts) <= {token for token, share in expected.items() if share > 0}
    for token, share in expected.items():
        spread = (share * (1 - share) / draws) ** 0.5
        assert abs(counts[token] / draws - share) <= 5 * spread


def test_a_repetition_penalty_is_that_of_generate(llm, tmp_path):
    backbone, tokenizer = llm
    config = backbone.generation_config
    config.do_sample, config.repetition_penalty = False, 1.7
    found = responses(llm, QUERIES, tmp_path / "r.jsonl", max_new_tokens=24, batch_size=4)
    for query in QUERIES:
        ids = tokenizer(query, return_tensors="pt")
        written = backbone.generate(
            **ids, max_new_tokens=24, do_sample=False, repetition_penalty=1.7, pad_token_id=0
        )[0, ids["input_ids"].shape[1] :]
        assert found[query] == tokenizer.decode(written, skip_special_tokens=True)
    config.repetition_penalty = 1.0
    assert found != responses(llm, QUERIES, tmp_path / "greedy.jsonl", max_new_tokens=24)


def test_greedy_is_greedy_whatever_the_config_says(llm, tmp_path):
    write_responses(*llm, QUERIES, tmp_path / "r.jsonl", max_new_tokens=8, decoding="greedy")
    llm[0].generation_config.do_sample = False
    unsampled = responses(llm, QUERIES, tmp_path / "s.jsonl")
    assert {r.query: r.response for r in read_responses(tmp_path / "r.jsonl")} == unsampled


@pytest.mark.parametrize("changed", [{"decoding": "greedy"}, {"seed": 1}])
def test_a_file_of_other_sampling_is_refused(llm, tmp_path, changed):
    write_responses(*llm, QUERIES, tmp_path / "r.jsonl", **SHORT)
    with pytest.raises(ValueError, match=r"r\.jsonl was written by .* with s"):
        write_responses(*llm, QUERIES, tmp_path / "r.jsonl", **SHORT | changed)


def test_what_is_not_computed_is_refused_before_a_file_exists(llm, tmp_path):
    llm[0].generation_config.num_beams = 4
    with pytest.raises(ValueError, match="num_beams = 4, which is not supported"):
        write_responses(*llm, QUERIES, tmp_path / "r.jsonl", **SHORT)
    with pytest.raises(ValueError, match="decoding is 'beam'; expected one of greedy"):
        write_responses(*llm, QUERIES, tmp_path / "r.jsonl", decoding="beam")
    assert not list(tmp_path.iterdir())


def test_the_earlier_name_of_a_decoding_is_still_read():
    assert as_decoding("generation-config") == as_decoding("sampled") == "sampled"


def test_silence_in_the_config_means_the_defaults_of_generate(llm):
    config = llm[0].generation_config
    for name in ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty"):
        setattr(config, name, None)
    assert sampling_settings(config) == {
        "do_sample": False,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }


def test_a_model_that_computes_nan_is_not_written_down(llm, tmp_path):
    from llm2vec_gen_rag.errors import NonFiniteError

    with torch.no_grad():
        llm[0].get_output_embeddings().weight[3] = float("nan")
    for decoding in ("greedy", "sampled"):
        path = tmp_path / f"{decoding}.jsonl"
        with pytest.raises(NonFiniteError):
            write_responses(*llm, QUERIES, path, max_new_tokens=4, decoding=decoding)
        assert read_responses(path) == []
