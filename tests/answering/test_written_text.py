"""What is shown of an answer is whole characters, and nothing of a stop word."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.answering.written_text import WrittenText

TEXT = "é€😀 日本の yen — ok\ufffd!"


def shown(model, ids, stop=()):
    """The pieces of ids that are written one by one."""
    text = WrittenText(model.tokenizer, frozenset(), stop)
    pieces = []
    for end in range(1, len(ids) + 1):
        pieces.append(text.grown(ids[:end], finished=end == len(ids)))
        if text.stopped:
            break
    return pieces


def test_no_piece_has_a_part_of_a_character(each_model):
    ids = each_model.text_tokenizer.token_ids([TEXT], bos=False)[0].tolist()
    pieces = shown(each_model, ids)
    assert len(ids) > len(TEXT)  # most characters are of several tokens
    assert "".join(pieces) == each_model.tokenizer.decode(ids)
    assert "".join(pieces).count("\ufffd") == TEXT.count("\ufffd")


def test_bytes_that_are_no_character_are_shown_at_the_end(each_model):
    ids = each_model.text_tokenizer.token_ids(["a😀"], bos=False)[0].tolist()[:-1]
    pieces = shown(each_model, ids)
    assert "".join(pieces) == each_model.tokenizer.decode(ids)
    assert not any("\ufffd" in piece for piece in pieces[:-1])


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["rs live"], "polar bea"),
        (["live", "polar bears x"], "polar bears "),
        (["ears", "bears"], "polar "),
        (["p"], ""),
        (["on ice!?"], "polar bears live on ice!"),
        (["!"], "polar bears live on ice"),
    ],
)
def test_a_stop_word_over_several_tokens_is_cut_exactly(each_model, stop, expected):
    ids = each_model.text_tokenizer.token_ids(["polar bears live on ice!"], bos=False)[0].tolist()
    pieces = shown(each_model, ids, stop)
    assert "".join(pieces) == expected


def test_a_stop_word_is_found_wherever_it_is_in_an_answer(model):
    answer = model.answer("The yen is Japan's money.", max_new_tokens=40)
    for start in range(0, len(answer) - 4, 3):
        word = answer[start : start + 4]
        stream = model.stream("The yen is Japan's money.", max_new_tokens=40, stop=[word])
        assert "".join(stream) == answer[: answer.index(word)]
        assert stream.finish_reason == "stop"
        assert stream._continuation is None


def test_text_that_only_begins_a_stop_word_is_shown(model):
    answer = model.answer("The yen is Japan's money.", max_new_tokens=40)
    words = [answer[-3:] + "x", answer[5:9] + "never"]
    stream = model.stream("The yen is Japan's money.", max_new_tokens=40, stop=words)
    assert "".join(stream) == answer
    assert stream.finish_reason == "length"
