"""What `LLM2VecGen` promises its callers: shapes, sides, identity, answers, threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS

TEXTS = ["where do polar bears live", "", "what does disk cleanup mean"]


# --- shapes


def test_a_string_gives_one_vector_and_a_list_gives_rows(model):
    one, many = model.encode(TEXTS[0]), model.encode(TEXTS)
    assert (one.shape, many.shape) == ((model.dimension,), (3, model.dimension))
    assert one.dtype == many.dtype == np.float32
    np.testing.assert_allclose(many[0], one, atol=1e-6)


@pytest.mark.parametrize("nothing", [[], ()])
def test_no_texts_give_no_rows(model, nothing):
    assert model.encode(nothing).shape == (0, model.dimension)
    assert model.encode_query(nothing).shape == (0, model.dimension)
    assert model.encode_document(nothing, show_progress=True).shape == (0, model.dimension)
    assert model.decode(nothing) == model.answer(nothing) == []


def test_a_tuple_is_a_list(model):
    assert np.array_equal(model.encode(tuple(TEXTS)), model.encode(TEXTS))


def test_vectors_have_length_one_unless_asked(model):
    raw = model.encode(TEXTS, normalize=False)
    lengths = np.linalg.norm(raw, axis=1)
    assert not np.allclose(lengths, 1, atol=1e-2)
    np.testing.assert_allclose(model.encode(TEXTS), raw / lengths[:, None], atol=1e-6)


def test_callers_lists_are_left_as_they_were(model):
    texts = list(TEXTS)
    model.encode(texts, instruction="Say: ")
    assert texts == TEXTS


# --- sides


def test_each_side_has_the_published_instruction(model):
    assert np.array_equal(
        model.encode_query(TEXTS),
        model.encode(TEXTS, instruction="Generate a passage that best answers this question: "),
    )
    assert np.array_equal(
        model.encode_document(TEXTS),
        model.encode(TEXTS, instruction="Summarize the following passage: "),
    )
    assert model.prompts.document == DOCUMENT_INSTRUCTION


@pytest.mark.parametrize("task", sorted(QUERY_INSTRUCTIONS))
def test_each_task_has_an_instruction_that_a_text_can_follow(model, task):
    instruction = model.prompts.for_query(task)
    assert instruction.endswith(": ")
    assert np.array_equal(
        model.encode_query(TEXTS[0], task), model.encode(TEXTS[0], instruction=instruction)
    )


def test_options_of_encode_reach_both_sides(model):
    options = {"max_length": 20, "normalize": False, "batch_size": 1}
    for side, instruction in (
        (model.encode_query, model.prompts.for_query("retrieval")),
        (model.encode_document, model.prompts.document),
    ):
        expected = model.encode(TEXTS, instruction=instruction, **options)
        assert np.array_equal(side(TEXTS, **options), expected)


# --- what identifies a model


def test_a_fingerprint_identifies_the_vectors(each_kit, each_model, broken, qwen3):
    assert each_kit.load().fingerprint == each_model.fingerprint
    others = [qwen3.load() for _ in range(3)]
    with torch.no_grad():
        others[0].response_tokens[0, 0] += 1e-6
        others[1].alignment.bias[0] += 1e-6
    others[2].compression_tokens = 9
    prints = {qwen3.load().fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == 4


# --- decoding and answering


def test_decode_gives_text_for_text(model):
    one, many = model.decode(TEXTS[0], max_new_tokens=8), model.decode(TEXTS, max_new_tokens=8)
    assert isinstance(one, str)
    assert many[0] == one
    assert len(many) == 3
    assert model.decode("x", instruction="Say: ") == model.decode("Say: x")


def test_decoding_stops_at_every_end_token_of_the_base_model(qwen3):
    model = qwen3.load()
    whole = qwen3.expected["decoded_ids"][0]
    assert model.decode(qwen3.texts[0], max_new_tokens=24) == model.tokenizer.decode(whole)
    model.backbone.generation_config.eos_token_id = [2, whole[14]]
    end = whole.index(whole[14])
    cut = model.decode(qwen3.texts[0], max_new_tokens=24)
    assert cut == model.tokenizer.decode(whole[:end])


def test_decoding_ignores_sampling_settings_of_the_base_model(qwen3, model):
    other = qwen3.load()
    other.backbone.generation_config.do_sample = True
    other.backbone.generation_config.repetition_penalty = 5.0
    assert other.decode(TEXTS) == model.decode(TEXTS)


def greedy_by_generate(model, ids, count):
    """Return the ids that transformers' own greedy search writes."""
    ids = torch.tensor([ids])
    written = model.backbone.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False
    )
    return written[0, ids.shape[1] :].tolist()


def test_answers_are_those_of_greedy_search(each_model):
    texts = ["where do polar bears live", "a", "the seal swims under the ice " * 3]
    expected = []
    for ids in each_model.text_tokenizer.token_ids(texts):
        written = greedy_by_generate(each_model, ids.tolist(), 12)
        expected.append(each_model.tokenizer.decode(written, skip_special_tokens=True))
    assert each_model.answer(texts, max_new_tokens=12) == expected
    assert each_model.answer(texts[1], max_new_tokens=12) == expected[1]


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{% if enable_thinking is false %}<think></think>{% endif %}"
)


def test_answers_follow_the_chat_template_without_thinking(qwen3):
    model = qwen3.load()
    model.tokenizer.chat_template = CHAT
    text = "where do polar bears live"
    prompt = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n<think></think>"
    ids = model.tokenizer(prompt)["input_ids"]
    assert ids.count(1) == 2  # <|im_start|>: the template's markup is markup
    written = greedy_by_generate(model, ids, 12)
    expected = model.tokenizer.decode(written, skip_special_tokens=True)
    assert model.answer(text, max_new_tokens=12) == expected


def test_markup_in_a_text_does_not_end_its_turn(qwen3):
    model = qwen3.load()
    model.tokenizer.chat_template = CHAT
    shapes = []
    transformer = model.backbone.base_model
    transformer.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(kwargs["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )
    model.answer(["", "<|im_end|>"], max_new_tokens=1)
    model.answer("", max_new_tokens=1)
    spelt = len(model.text_tokenizer.token_ids(["<|im_end|>"])[0])
    assert spelt > 1
    assert shapes[0] - shapes[1] == spelt


# --- threads


def test_two_threads_at_once_get_their_own_vectors(each_model):
    lists = [[f"{text} {number}" for text in TEXTS] for number in range(8)]
    expected = [each_model.encode(texts) for texts in lists]
    says = [each_model.decode(texts, max_new_tokens=4) for texts in lists]
    start = threading.Barrier(4)

    def work(texts):
        start.wait()
        return each_model.encode(texts, batch_size=1), each_model.decode(texts, max_new_tokens=4)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, lists))
    for (vectors, said), vectors_expected, said_expected in zip(found, expected, says, strict=True):
        np.testing.assert_allclose(vectors, vectors_expected, atol=1e-5)
        assert said == said_expected


# --- where and in what it computes


def test_half_precision_stays_near(each_kit, each_model):
    model = each_kit.load(dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert model.response_tokens.dtype == model.alignment.weight.dtype == torch.float32
    vectors = model.encode(each_kit.texts)
    assert vectors.dtype == np.float32
    assert (vectors * each_model.encode(each_kit.texts)).sum(axis=1).min() > 0.95
