"""Each bad argument of the model gets one error that says what was found and what was expected."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag import LLM2VecGen

CALLS = ["encode", "encode_query", "encode_document", "decode", "answer"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (None, "texts is None"),
        (3, "texts is 3"),
        (b"bytes", "texts is b'bytes'"),
        ({"a": "b"}, "texts is {"),
        (["a", None], r"texts\[1\] is None"),
        (["a", 2.5], r"texts\[1\] is 2.5"),
        (["a", ["b"]], r"texts\[1\] is \['b'\]"),
        ([["a"]], r"texts\[0\] is \['a'\]"),
        ([b"a"], r"texts\[0\] is b'a'"),
    ],
)
def test_what_is_no_text(model, call, texts, said):
    with pytest.raises(ValueError, match=rf"{said}.*expected a string"):
        getattr(model, call)(texts)


@pytest.mark.parametrize("max_length", [10, 9, 1, 0, -5, None, 2.5, True])
def test_no_room_for_text(model, max_length):
    with pytest.raises(ValueError, match=r"max_length is .*(pass at least 11|at least 1)"):
        model.encode("x", max_length=max_length)
    with pytest.raises(ValueError, match="max_length is"):
        model.decode("x", max_length=max_length)


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", True])
def test_numbers_that_count_nothing(model, number):
    with pytest.raises(ValueError, match="batch_size is"):
        model.encode("x", batch_size=number)
    with pytest.raises(ValueError, match="max_new_tokens is"):
        model.decode("x", max_new_tokens=number)
    with pytest.raises(ValueError, match="max_new_tokens is"):
        model.answer("x", max_new_tokens=number)


@pytest.mark.parametrize("instruction", [None, 3, ["a"]])
def test_an_instruction_that_is_no_text(model, instruction):
    for call in (model.encode, model.decode, model.answer):
        with pytest.raises(ValueError, match=r"instruction is .*expected a string"):
            call("x", instruction=instruction)


def test_an_unknown_task(model):
    with pytest.raises(ValueError, match=r"unknown task 'riddles'; known tasks: .*retrieval"):
        model.encode_query("x", task="riddles")


def test_an_option_that_encode_does_not_have(model):
    for call in (model.encode, model.encode_query, model.encode_document, model.decode):
        with pytest.raises(TypeError, match="normalise"):
            call("x", normalise=True)


@pytest.mark.parametrize("name", ["~nobody-of-this-name", "~a\0b", "~\ud800"], ids=ascii)
def test_a_home_that_nobody_has_is_reported(name):
    with pytest.raises(ValueError, match=r"no user of that name|no NUL character"):
        LLM2VecGen.from_pretrained(name)
