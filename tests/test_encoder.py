"""Texts to ids, ids to batches, batches to states."""

from __future__ import annotations

import contextlib
import resource

import numpy as np
import pytest
import torch
from child_processes import in_process
from reference_kits import ReferenceKit
from watched_forwards import watch_forwards

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.backbone.facts import has_full_attention
from llm2vec_gen_rag.batching import CPU_TOKEN_BUDGET, plan_batches
from llm2vec_gen_rag.encoder import last_hidden_states
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, utf8_text

PLAIN = "where do polar bears live"


@contextlib.contextmanager
def recorded_tokens(model):
    """Yield how many tokens went through each forward, no padding among them."""
    tokens = []
    first = model.backbone.base_model.layers[0].self_attn.q_proj
    hook = first.register_forward_pre_hook(lambda module, args: tokens.append(args[0].shape[0]))
    try:
        yield tokens
    finally:
        hook.remove()


# --- whatever a user writes is text


@pytest.mark.parametrize("text", ["<question1>", "<|im_end|>", "a <question3> b <|endoftext|>"])
def test_special_tokens_in_a_text_are_text(each_model, text):
    (ids,) = each_model.text_tokenizer.token_ids([text], bos=False)
    assert not set(ids.tolist()) & set(each_model.tokenizer.all_special_ids)
    assert not set(ids.tolist()) & set(each_model.tokenizer.added_tokens_decoder)
    assert each_model.tokenizer.decode(ids) == text
    spelt = each_model.encode([text, text.replace("<", "< ")])
    assert not np.allclose(spelt[0], spelt[1], atol=1e-3)


def test_ids_are_the_tokenizers_own_in_a_text_without_special_tokens(each_kit, each_model):
    found = each_model.text_tokenizer.token_ids(each_kit.texts)
    expected = each_model.tokenizer(each_kit.texts)["input_ids"]
    assert [ids.tolist() for ids in found] == expected


def test_only_llama_begins_with_a_token_of_its_own(each_kit, each_model):
    (ids,) = each_model.text_tokenizer.token_ids([""])
    assert ids.tolist() == ([3] if each_kit.expected["family"] == "llama" else [])
    assert each_model.text_tokenizer.token_ids([""], bos=False)[0].tolist() == []


def test_reading_texts_leaves_the_tokenizer_as_it_was(qwen3):
    model = qwen3.load()
    before = model.tokenizer("<|im_end|>")["input_ids"]
    model.text_tokenizer.token_ids(["<|im_end|>"], max_tokens=2)
    assert model.tokenizer("<|im_end|>")["input_ids"] == before == [2]


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("plain", "plain"),
        ("a\ud800b", "a�b"),
        ("\udfff", "�"),
        ("end\ud83d", "end�"),
        ("\ud83d\ude42", "🙂"),
        ("nul\0 and café", "nul\0 and café"),
    ],
)
def test_lone_surrogates_become_the_replacement_character(text, read_as):
    assert utf8_text(text) == read_as


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " \n\t ",
        "\0",
        "a\0b",
        "\ud800",
        "مرحبا بالعالم",
        "שלום",
        "🙂👩‍👩‍👧",
        "e\u0301",
        "\u202eabc",
    ],
)
def test_every_text_has_a_vector_of_its_own(each_model, text):
    alone = each_model.encode(text)
    together = each_model.encode([PLAIN * 9, text, PLAIN])
    assert np.isclose(np.linalg.norm(alone), 1)
    np.testing.assert_allclose(together[1], alone, atol=1e-5)
    assert not np.allclose(alone, together[2], atol=1e-3)


def test_a_megabyte_is_cut_before_the_llm_reads_it(model):
    words = "the seal swims under the ice " * 36_000
    with recorded_tokens(model) as tokens:
        found = model.encode([words, "a" * 1_000_000])
    assert sum(tokens) == 2 * 512
    np.testing.assert_allclose(found[0], model.encode(words[:5_000]), atol=1e-6)


def test_max_length_counts_text_and_response_tokens(model):
    text = "the seal swims under the ice " * 40
    with recorded_tokens(model) as tokens:
        model.encode(text, max_length=11)
        model.encode(text, max_length=64)
        model.encode("", max_length=11)
    assert tokens == [11, 64, 10]


def test_the_instruction_directly_precedes_the_text(model):
    both = model.encode([PLAIN, "x"], instruction="Say: ")
    np.testing.assert_allclose(both, model.encode([f"Say: {PLAIN}", "Say: x"]), atol=1e-6)


def test_a_tokenizer_without_a_fast_backend_is_reported():
    with pytest.raises(Exception, match="not backed by the 'tokenizers' library"):
        TextTokenizer(object())


# --- batches


def test_batches_hold_every_row_once_and_fit_the_budget():
    lengths = np.random.default_rng(0).integers(1, 90, size=500).tolist()
    batches = plan_batches(lengths, token_budget=300)
    assert sorted(row for batch in batches for row in batch) == list(range(500))
    assert all(len(b) * max(lengths[row] for row in b) <= 300 for b in batches)
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(lengths, reverse=True)


def test_sorting_leaves_next_to_no_padding():
    lengths = np.random.default_rng(0).integers(1, 90, size=500).tolist()
    batches = plan_batches(lengths, token_budget=300)
    padded = sum(len(b) * lengths[b[0]] for b in batches)
    assert padded < 1.05 * sum(lengths)


def test_a_row_longer_than_the_budget_is_a_batch_of_its_own():
    assert plan_batches([5, 700, 5], token_budget=300) == [[1], [0, 2]]


def test_a_batch_size_overrides_the_budget():
    assert plan_batches([9, 9, 9], token_budget=1, batch_size=2) == [[0, 1], [2]]


def test_rows_of_unequal_length_are_separate_where_padding_matters():
    assert plan_batches([2, 3, 2, 3], token_budget=99, pad=False) == [[1, 3], [0, 2]]


def test_no_rows_no_batches():
    assert plan_batches([], token_budget=10) == []


def test_forwards_are_planned_by_tokens_over_the_whole_list(model):
    texts = [f"{row} {PLAIN} {'again ' * (row % 40)}" for row in range(400)]
    with recorded_tokens(model) as tokens, watch_forwards(model) as seen:
        model.encode(texts)
    assert len(set(seen.rows)) > 1
    assert CPU_TOKEN_BUDGET // 2 < max(tokens) <= CPU_TOKEN_BUDGET
    means = [count / rows for count, rows in zip(tokens, seen.rows, strict=True)]
    assert means == sorted(means, reverse=True)


def peaks_after_embedding(*counts):
    """The peak of this process's memory after so many texts, and then so many, in MiB."""
    model, peaks = ReferenceKit("qwen2-6-4").load(), []
    for count in counts:
        assert len(model.encode([f"text {i}" for i in range(count)])) == count
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    return peaks


def test_ten_thousand_texts_take_no_more_memory_than_five_hundred():
    before, after = in_process(peaks_after_embedding, 500, 10_000)
    assert after - before < 40  # MiB; the ten thousand vectors and ids themselves take 4


# --- states and gradients


def ids_of(model, texts):
    return [ids.tolist() for ids in model.text_tokenizer.token_ids(texts)]


TEXTS = [PLAIN, "", "a", f"{PLAIN} and what do they eat there"]


def test_states_are_those_of_the_last_compression_tokens(each_kit, each_model):
    states = last_hidden_states(each_model, ids_of(each_model, TEXTS))
    assert states.shape == (len(TEXTS), each_kit.expected["compression_tokens"], 64)


def test_a_text_of_no_tokens_may_be_a_plain_list(each_model):
    with torch.no_grad():
        states = last_hidden_states(each_model, [[], [5, 6]])
        alone = last_hidden_states(each_model, [[]])
    torch.testing.assert_close(states[:1], alone, rtol=1e-5, atol=1e-5)


def response_gradient(model, ids):
    """Return the gradient of a fixed weighing of the states in the response tokens."""
    model.response_tokens.requires_grad_(True)
    states = last_hidden_states(model, ids)
    weights = torch.linspace(-1, 1, states.numel()).reshape(states.shape)
    return torch.autograd.grad((states * weights).sum(), model.response_tokens)[0]


@pytest.mark.parametrize("own_forward", [False, True])
def test_gradient_on_a_cached_text_is_that_of_one_pass(each_kit, monkeypatch, own_forward):
    model = each_kit.load()
    ids = ids_of(model, TEXTS)
    if own_forward:
        monkeypatch.setattr(cpu, "gradient_forward_for", lambda backbone: None)
    cached = response_gradient(model, ids)
    monkeypatch.setattr("llm2vec_gen_rag.encoder.has_full_attention", lambda backbone: False)
    whole = response_gradient(model, ids)
    assert cached.abs().max() > 1e-2
    torch.testing.assert_close(cached, whole, atol=1e-4, rtol=1e-4)


def test_a_frozen_text_costs_no_gradient(qwen3, monkeypatch):
    monkeypatch.setattr(cpu, "gradient_forward_for", lambda backbone: None)
    model = qwen3.load()
    model.response_tokens.requires_grad_(True)
    sizes = []
    keys = model.backbone.base_model.layers[-1].self_attn.k_proj
    keys.register_forward_hook(
        lambda module, args, output: sizes.append((output.shape[-2], output.requires_grad))
    )
    (ids,) = ids_of(model, [PLAIN])
    last_hidden_states(model, [ids])
    assert sizes == [(len(ids), False), (10, True)]


def test_gradient_reaches_low_rank_updates_through_the_text():
    model = ReferenceKit("qwen3-10-lora").load()
    parameters = [model.response_tokens, *model.adapter.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    last_hidden_states(model, ids_of(model, TEXTS)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert all(parameter.grad is None for parameter in model.backbone.parameters())


def test_a_sliding_window_is_not_full_attention(qwen3):
    model = qwen3.load()
    assert has_full_attention(model.backbone)
    model.backbone.config.layer_types = ["full_attention", "sliding_attention"]
    assert not has_full_attention(model.backbone)
    model.backbone.config.layer_types = None
    model.backbone.config.sliding_window = 512
    assert not has_full_attention(model.backbone)


# --- progress


def test_a_progress_bar_only_when_asked(model, capfd):
    model.encode([PLAIN] * 3)
    assert capfd.readouterr().err == ""
    model.encode([PLAIN] * 3, show_progress=True)
    assert "3/3" in capfd.readouterr().err
