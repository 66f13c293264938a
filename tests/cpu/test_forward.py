"""The forward that skips unused states gives the same vectors as the LLM's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_kits import ReferenceKit
from torch.nn.modules.module import register_module_forward_hook

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.cpu import attention, forward_for, supported
from llm2vec_gen_rag.cpu import forward as forwards
from llm2vec_gen_rag.cpu.attention import BLOCK, causal_attention
from llm2vec_gen_rag.cpu.packing import ROUND_FROM_TOKENS
from llm2vec_gen_rag.cpu.prefix_cache import MAX_INSTRUCTIONS, common_length
from llm2vec_gen_rag.encoder import last_hidden_states, read_prefix
from llm2vec_gen_rag.text_tokenizer import TokenizedTexts

INSTRUCTION = "Generate a passage that best answers this question: "
TEXTS = [
    "where do polar bears live",
    "",
    "a",
    f"{'the seal swims under the ice ' * 60}",
    *[f"which ocean is {'very ' * row}deep" for row in range(40)],
]


def whole(model, texts, monkeypatch, **options):
    """Embed with the LLM's own forward."""
    with monkeypatch.context() as patch:
        patch.setattr(cpu, "forward_for", lambda backbone: None)
        return model.encode(texts, **options)


def ids_of(model, texts):
    return model.text_tokenizer.token_ids(texts, max_tokens=512 - len(model.response_tokens))


# --- the same vectors


@pytest.mark.parametrize("instruction", ["", INSTRUCTION])
def test_in_float32_to_the_fifth_decimal(each_model, instruction, monkeypatch):
    assert forward_for(each_model.backbone) is not None
    options = {"instruction": instruction, "normalize": False}
    found = each_model.encode(TEXTS, **options)
    expected = whole(each_model, TEXTS, monkeypatch, **options)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("count", range(10, 26))
def test_however_many_rows_there_are(model, count, monkeypatch):
    """Two texts are a little shorter, for some count by as much as there are spare rows."""
    texts = [f"{chr(ord('a') + row)} which ocean is deep and wide" for row in range(count)]
    texts += ["y which ocean is deep and", "z which ocean is deep and"]
    found = model.encode(texts)
    np.testing.assert_allclose(found, whole(model, texts, monkeypatch), atol=1e-5)


@pytest.mark.parametrize("characters", range(700, 710))
def test_one_text_of_many_rows(model, characters, monkeypatch):
    """Spare rows follow it, another number of them every few characters."""
    text = ("a seal " * 200)[:characters]
    assert len(ids_of(model, [text])[0]) >= ROUND_FROM_TOKENS
    found = model.encode(text)
    np.testing.assert_allclose(found, whole(model, [text], monkeypatch)[0], atol=1e-5)


def test_in_bfloat16_as_near_to_float32(each_kit, each_model):
    rounded = each_kit.load(dtype="bfloat16")
    found = rounded.encode(TEXTS, instruction=INSTRUCTION)
    exact = each_model.encode(TEXTS, instruction=INSTRUCTION)
    assert (found * exact).sum(axis=1).min() >= 0.9995


def test_a_text_that_is_nothing_but_the_prefix(model, monkeypatch):
    texts = ["which ocean is deep and what swims there"] * 10
    np.testing.assert_allclose(model.encode(texts), whole(model, texts, monkeypatch), atol=1e-5)


def test_a_text_alone_and_among_others_after_the_same_instruction(model):
    together = model.encode_query(TEXTS)
    alone = np.stack([model.encode_query(text) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


# --- the prefix


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        ([], 0),
        ([[]], 0),
        ([[1, 2, 3]], 3),
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2, 3], [1, 2]], 2),
        ([[1, 2, 3], [1, 2, 3, 4], [1, 5, 3]], 1),
        ([[1], [2]], 0),
    ],
)
def test_common_length_is_what_all_rows_begin_with(rows, length):
    assert common_length([np.array(row, dtype=np.int64) for row in rows]) == length


def test_an_instruction_is_computed_once(qwen3):
    model = qwen3.load()
    ids = ids_of(model, [INSTRUCTION + text for text in TEXTS])
    tokens = common_length(ids)
    assert tokens > 5
    read = []
    first = model.backbone.base_model.layers[0].self_attn.q_proj
    first.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].shape[0]))
    model.encode(TEXTS, instruction=INSTRUCTION)
    added = len(model.response_tokens) - tokens
    assert read[0] == common_length([*ids_of(model, [INSTRUCTION]), *ids])
    tokens = sum(len(row) + added for row in ids)
    assert tokens <= sum(read[1:]) < tokens * (1 + 1 / 32)  # a few spare rows


def test_a_prefix_that_saves_little_is_not_computed_separately(model):
    with torch.no_grad():
        for count in (1, 8):
            texts = TokenizedTexts(ids_of(model, TEXTS[:count]), np.zeros(count, dtype=np.int64), 0)
            assert read_prefix(model, texts) is None


def test_an_instruction_is_cached_for_the_next_query(qwen3):
    model = qwen3.load()
    rows = []
    first = model.backbone.base_model.layers[0].self_attn.q_proj
    first.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[0]))
    texts = ["where do seals live", "how deep is an ocean"]
    for text in texts:
        model.encode(text, instruction=INSTRUCTION)
    ids = ids_of(model, [INSTRUCTION + text for text in texts])
    instruction = common_length([*ids_of(model, [INSTRUCTION]), *ids])
    assert instruction > 5
    added = len(model.response_tokens) - instruction
    assert rows == [instruction, *(len(row) + added for row in ids)]


def test_a_query_alone_after_a_cached_instruction_has_the_same_vector(each_kit, monkeypatch):
    model = each_kit.load()
    options = {"instruction": INSTRUCTION, "normalize": False}
    for text in TEXTS[:4]:
        expected = whole(model, text, monkeypatch, **options)
        for _ in range(2):
            np.testing.assert_allclose(model.encode(text, **options), expected, atol=1e-5)


@pytest.mark.parametrize("text", ["seals", " seals", "\nseals", "?", "", "\ud800", "s" * 300])
def test_a_text_that_joins_the_instruction_has_the_same_vector(each_kit, monkeypatch, text):
    """The last token of the instruction may end inside the text."""
    model = each_kit.load()
    for instruction in ("Which seal swims in the sea", "Which seal swims in the sea: "):
        options = {"instruction": instruction, "normalize": False}
        expected = whole(model, text, monkeypatch, **options)
        for _ in range(2):
            np.testing.assert_allclose(model.encode(text, **options), expected, atol=1e-5)


def test_only_a_few_instructions_are_cached(qwen3):
    model = qwen3.load()
    for number in range(MAX_INSTRUCTIONS + 3):
        model.encode("seals", instruction=f"{number} is the number of this instruction: ")
    assert len(model.prefix_cache) == MAX_INSTRUCTIONS


def test_what_depends_on_low_rank_updates_is_not_cached():
    model = ReferenceKit("qwen3-10-lora").load()
    before = model.encode("seals", instruction=INSTRUCTION)
    for update in model.adapter.updates.values():
        update.up.data.mul_(3)
    assert np.abs(model.encode("seals", instruction=INSTRUCTION) - before).max() > 1e-4


# --- the last layer


def test_the_last_layer_computes_only_the_states_that_are_read(model):
    rows = []
    *_, before, last = (layer.mlp.up_proj for layer in model.backbone.base_model.layers)
    hooks = [
        matrix.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[0]))
        for matrix in (before, last)
    ]
    try:
        model.encode(TEXTS[3])
    finally:
        for hook in hooks:
            hook.remove()
    assert rows[0] > 100
    assert rows[1] == model.compression_tokens


# --- where it does not apply


def test_under_gradient_another_forward_carries_it_to_the_response_tokens(qwen3):
    model = qwen3.load()
    model.response_tokens.requires_grad_(True)
    states = last_hidden_states(model, ids_of(model, TEXTS))
    states.sum().backward()
    assert model.response_tokens.grad.abs().sum() > 0


def test_layers_with_a_sliding_window_run_by_their_own_forward(model, monkeypatch):
    expected = whole(model, TEXTS, monkeypatch)
    monkeypatch.setattr(supported, "has_full_attention", lambda backbone: False)
    monkeypatch.setattr(forwards, "Forward", None)  # calling it would fail
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)


def test_attention_that_was_asked_for_is_used():
    backbone = ReferenceKit("qwen3-10").load(attn_implementation="eager").backbone
    assert forward_for(backbone) is None


def test_layers_of_another_form_run_by_their_own_forward(qwen3):
    backbone = qwen3.load().backbone
    layer = backbone.base_model.layers[0]
    layer.__class__ = type("OtherDecoderLayer", (type(layer),), {})
    assert forward_for(backbone) is None


@pytest.mark.parametrize(
    "path",
    [
        "model",
        "model.layers.0",
        "model.layers.1.self_attn",
        "model.layers.1.self_attn.q_norm",
        "model.layers.1.mlp.down_proj",
        "model.layers.1.input_layernorm",
        "model.norm",
    ],
)
def test_a_users_hook_is_called_wherever_it_is(qwen3, path):
    """It may change what the layers compute, as when a researcher steers them."""
    model, seen = qwen3.load(), []
    before = model.encode(TEXTS[0])
    hook = model.backbone.get_submodule(path).register_forward_hook(lambda *_: seen.append(1))
    again = model.encode(TEXTS[0])
    assert seen
    seen.clear()
    model.decode(TEXTS[0], max_new_tokens=2)
    assert len(seen) >= 2
    hook.remove()
    np.testing.assert_allclose(again, before, atol=1e-5)


def test_a_hook_on_every_module_is_called(qwen3):
    model, seen = qwen3.load(), set()
    before = model.encode(TEXTS[0])
    hook = register_module_forward_hook(lambda module, *_: seen.add(type(module).__name__))
    try:
        again = model.encode(TEXTS[0])
    finally:
        hook.remove()
    assert {"Qwen3DecoderLayer", "Qwen3RMSNorm", "Linear"} <= seen
    np.testing.assert_allclose(again, before, atol=1e-5)


def test_hidden_states_that_were_asked_for_leave_no_other_forward_behind(qwen3):
    """transformers 5 keeps hooks of its own on the layers from then on."""
    model = qwen3.load()
    model.backbone(torch.tensor([[1, 2]]), output_hidden_states=True, output_attentions=False)
    assert forward_for(model.backbone) is not None


def test_a_causal_lm_of_another_class_runs_by_its_own_forward(qwen3):
    """It may scale its embeddings or its logits."""
    backbone = qwen3.load().backbone
    backbone.__class__ = type("OtherForCausalLM", (type(backbone),), {})
    assert forward_for(backbone) is None


# --- attention


def masked_softmax(queries, keys, values, positions):
    """The definition: softmax over the keys up to each position, in float64."""
    queries, keys, values = (part.double() for part in (queries, keys, values))
    heads, groups = queries.shape[2], keys.shape[1]
    keys, values = (part.repeat_interleave(heads // groups, dim=1) for part in (keys, values))
    scores = queries.transpose(1, 2) @ keys.mT
    masked = torch.arange(keys.shape[2]) > positions[..., None]
    masked = masked[:, None] if masked.dim() == 3 else masked
    output = scores.masked_fill(masked, -torch.inf).softmax(-1) @ values
    return output.transpose(1, 2).flatten(2)


@pytest.fixture(params=[False, True], ids=["blocks", "fused"])
def either_kernel(request):
    """Attention in bfloat16 by blocks, and by torch's fused kernel."""
    attention.FUSED_IN_BFLOAT16.set(request.param)
    yield
    attention.FUSED_IN_BFLOAT16.set(None)


@pytest.mark.usefixtures("either_kernel")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("prefix", [0, 7])
@pytest.mark.parametrize("rows", [1, 30, BLOCK, 2 * BLOCK + 17])
def test_attention_is_softmax_over_what_came_before(dtype, tolerance, prefix, rows):
    torch.manual_seed(0)
    queries = (torch.randn(2, rows, 4, 16) / 4).to(dtype)
    keys, values = (torch.randn(2, 2, prefix + rows, 16).to(dtype) for _ in range(2))
    positions = torch.arange(prefix, prefix + rows)
    found = causal_attention(queries, keys, values, positions)
    expected = masked_softmax(queries, keys, values, positions)
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.usefixtures("either_kernel")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("rows", [1, 3])
def test_attention_of_other_positions_in_each_row(dtype, tolerance, rows):
    torch.manual_seed(0)
    queries = (torch.randn(2, 3, 4, 16) / 4).to(dtype)
    keys, values = (torch.randn(2, 2, 20, 16).to(dtype) for _ in range(2))
    positions = torch.tensor([[4, 5, 6], [17, 18, 19]])
    found = causal_attention(queries, keys, values, positions)
    expected = masked_softmax(queries, keys, values, positions)
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("positions", [[[39]], [[39], [3]], [[17], [16]]], ids=str)
def test_one_query_reads_many_keys_some_at_a_time(dtype, tolerance, positions, monkeypatch):
    monkeypatch.setattr(attention, "KEYS_AT_ONCE", 16)
    torch.manual_seed(0)
    texts = len(positions)
    queries = (torch.randn(texts, 1, 4, 16) / 4).to(dtype)
    keys, values = (torch.randn(texts, 2, 40, 16).to(dtype) for _ in range(2))
    found = causal_attention(queries, keys, values, torch.tensor(positions))
    expected = masked_softmax(queries, keys, values, torch.tensor(positions))
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
