"""A stream writes what `answer` writes, token by token, while others use the model."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import torch

from llm2vec_gen_rag.answering.messages import Message
from llm2vec_gen_rag.answering.sampling import Sampling

TEXTS = ["The yen is Japan's money.", "Ask: what is a polar bear?", "é€😀", ""]
NEW = 40


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_joined_are_the_answer(each_model, text):
    stream = each_model.stream(text, instruction="Say: " * bool(text), max_new_tokens=NEW)
    pieces = list(stream)
    answer = each_model.answer(text, instruction="Say: " * bool(text), max_new_tokens=NEW)
    assert "".join(pieces) == answer
    assert all(pieces)
    assert stream.prompt_tokens == len(stream._prompt)
    assert stream.written_tokens == (NEW if stream.finish_reason == "length" else 0)
    assert list(stream) == []


def test_a_long_text_is_cut_as_answer_cuts_it(model):
    long = "polar bears live on the ice " * 60
    assert "".join(model.stream(long, max_new_tokens=8)) == model.answer(long, max_new_tokens=8)


def test_an_end_token_ends_the_stream(load_kit):
    model = load_kit("qwen3-10")
    ids = written_ids(model, TEXTS[0])
    model.backbone.generation_config.eos_token_id = ids[9]
    stream = model.stream(TEXTS[0], max_new_tokens=NEW)
    assert "".join(stream) == model.answer(TEXTS[0], max_new_tokens=NEW)
    assert stream.written_tokens == ids.index(ids[9]) + 1
    assert stream.finish_reason == "stop"


def written_ids(model, text):
    stream = model.stream(text, max_new_tokens=NEW)
    assert list(stream)
    return stream._written


def test_the_prompt_of_one_user_message_is_that_of_answer(each_model):
    for text in TEXTS[:3]:
        chat = each_model.stream_chat([Message("user", text)], max_new_tokens=NEW)
        assert "".join(chat) == each_model.answer(text, max_new_tokens=NEW)


def test_embedding_between_two_tokens_changes_neither(each_model):
    vectors = each_model.encode(TEXTS, instruction="Say: ")
    decoded = each_model.decode(TEXTS[0], max_new_tokens=4)
    pieces = []
    for piece in each_model.stream(TEXTS[0], max_new_tokens=NEW):
        pieces.append(piece)
        np.testing.assert_array_equal(each_model.encode(TEXTS, instruction="Say: "), vectors)
    assert each_model.decode(TEXTS[0], max_new_tokens=4) == decoded
    assert "".join(pieces) == each_model.answer(TEXTS[0], max_new_tokens=NEW)


def test_two_streams_in_turn_write_their_own_answers(model):
    streams = [model.stream(text, max_new_tokens=NEW) for text in TEXTS[:3]]
    written = ["", "", ""]
    for _ in range(NEW):
        for place, stream in enumerate(streams):
            written[place] += stream.advance() or ""
    assert written == [model.answer(text, max_new_tokens=NEW) for text in TEXTS[:3]]


def test_a_slow_reader_does_not_hold_the_model(model):
    stream = model.stream(TEXTS[0], max_new_tokens=NEW)
    next(stream)
    embedded = threading.Event()
    other = threading.Thread(target=lambda: (model.encode("a text"), embedded.set()))
    other.start()
    assert embedded.wait(timeout=30)
    other.join()
    assert list(stream)


def test_threads_that_embed_and_stream_at_once_get_their_own_results(each_model):
    vectors = each_model.encode(TEXTS)
    answers = [each_model.answer(text, max_new_tokens=20) for text in TEXTS]
    wrong: list[str] = []

    def stream(text, answer):
        if "".join(each_model.stream(text, max_new_tokens=20)) != answer:
            wrong.append(text)

    def embed():
        for _ in range(4):
            if not np.array_equal(each_model.encode(TEXTS), vectors):
                wrong.append("vectors")

    threads = [
        threading.Thread(target=stream, args=pair) for pair in zip(TEXTS, answers, strict=True)
    ]
    threads += [threading.Thread(target=embed) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_closing_early_frees_the_memory_and_ends_the_stream(model, continuations):
    with model.stream(TEXTS[0], max_new_tokens=NEW) as stream:
        next(stream)
        assert continuations[0]() is not None
    gc.collect()
    assert continuations[0]() is None
    assert list(stream) == []
    assert stream.finish_reason is None


def test_a_finished_stream_keeps_no_memory(model, continuations):
    stream = model.stream(TEXTS[0], max_new_tokens=3)
    assert list(stream)
    gc.collect()
    assert [held() for held in continuations] == [None]


def test_a_stream_closed_while_a_token_is_written_keeps_nothing(model, continuations):
    stream = model.stream(TEXTS[0], max_new_tokens=NEW)
    hook = model.backbone.get_output_embeddings().register_forward_hook(lambda *_: stream.close())
    try:
        list(stream)
    finally:
        hook.remove()
    gc.collect()
    assert stream.written_tokens == 1
    assert [held() for held in continuations] == [None]


def test_an_error_closes_the_stream(load_kit):
    model = load_kit("qwen3-10")
    model.backbone.get_input_embeddings().weight.data.fill_(torch.nan)
    stream = model.stream(TEXTS[0])
    with pytest.raises(Exception, match="NaN"):
        next(stream)
    assert list(stream) == []


def test_low_rank_updates_are_off_in_a_stream(load_kit):
    adapted = load_kit("qwen3-10-lora")
    before = "".join(adapted.stream(TEXTS[0], max_new_tokens=NEW))
    for update in adapted.adapter.updates.values():
        update.up.data.fill_(3.0)
    assert "".join(adapted.stream(TEXTS[0], max_new_tokens=NEW)) == before


# --- sampling


def test_a_seed_gives_the_same_sample_again(model):
    def sample(seed):
        how = Sampling(temperature=1.0, top_p=0.9, seed=seed)
        return "".join(model.stream(TEXTS[0], max_new_tokens=NEW, sampling=how))

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(1) != model.answer(TEXTS[0], max_new_tokens=NEW)


@pytest.mark.parametrize("how", [Sampling(temperature=1, top_p=1e-9), Sampling(temperature=1e-6)])
def test_the_narrowest_sampling_is_greedy(model, how):
    greedy = model.answer(TEXTS[0], max_new_tokens=NEW)
    assert "".join(model.stream(TEXTS[0], max_new_tokens=NEW, sampling=how)) == greedy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0; expected a number of at least 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0; expected a number above 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"temperature": "0.5"}, "temperature is '0.5'"),
        ({"top_p": "a"}, "top_p is 'a'"),
        ({"seed": 1.5}, "seed is 1.5; expected an integer of at least 0"),
        ({"seed": 2**70}, "seed is 1180591620717411303424"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_sampling_outside_its_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)


# --- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; expected an integer of at least 1"),
        ({"max_length": 0}, "max_length is 0"),
        ({"instruction": None}, "instruction is None; expected a string"),
        ({"stop": "end"}, "stop is 'end'; expected a list of strings"),
        ({"stop": ["end", ""]}, "expected a list of strings that are not empty"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_computed(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.stream("a text", **options)


def test_a_list_of_texts_is_refused(model):
    with pytest.raises(ValueError, match=r"expected a string\. A conversation goes to stream_chat"):
        model.stream(["one", "two"])


def test_what_does_not_fit_the_llm_is_refused_with_its_numbers(model):
    message = [Message("user", "ice " * 600)]
    with pytest.raises(ValueError, match=r"has \d+ tokens and max_new_tokens is 900; the LLM has"):
        model.stream_chat(message, max_new_tokens=900)
