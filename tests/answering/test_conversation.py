"""Conversations become prompts by the tokenizer's chat template, and texts stay texts."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.answering.conversation import conversation_ids
from llm2vec_gen_rag.answering.messages import Message

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + CHATML
)
SILENT_ABOUT_SYSTEM = (
    "{% for m in messages %}{% if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}"
    "{% endif %}{% endfor %}"
)
IN_TURN = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
)
SYSTEM = Message("system", " Be brief. ")
ASKED = [SYSTEM, Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Yen?")]


@pytest.fixture
def prompt(model, monkeypatch):
    """The prompt of messages, as text, in a chat template."""

    def read(template, messages):
        monkeypatch.setattr(model.tokenizer, "chat_template", template)
        ids = conversation_ids(model.tokenizer, model.text_tokenizer, messages)
        return model.tokenizer.decode(ids)

    return read


def test_the_template_surrounds_each_text_which_stays_as_it_is(prompt):
    assert prompt(CHATML, ASKED) == (
        "<|system|> Be brief. \n<|user|>Hi\n<|assistant|>Hello\n<|user|>Yen?\n<|assistant|>"
    )


def test_without_a_template_the_texts_are_continued(prompt):
    assert prompt(None, ASKED) == " Be brief. \n\nHi\n\nHello\n\nYen?"


@pytest.mark.parametrize("template", [NO_SYSTEM, SILENT_ABOUT_SYSTEM])
def test_without_a_system_role_the_user_message_begins_with_the_system_message(prompt, template):
    read = prompt(template, [SYSTEM, *ASKED])
    assert read.startswith("<|user|> Be brief. \n\n Be brief. \n\nHi")
    assert "system" not in read


def test_a_template_that_refuses_an_order_is_quoted(prompt):
    with pytest.raises(ValueError, match="refuses messages of the roles user, user: roles must"):
        prompt(IN_TURN, [Message("user", "a"), Message("user", "b")])


def test_a_system_message_without_a_user_message_is_refused(prompt):
    with pytest.raises(ValueError, match="of the roles system: no system role"):
        prompt(NO_SYSTEM, [SYSTEM])


def test_markup_in_a_text_is_text(model, monkeypatch):
    monkeypatch.setattr(model.tokenizer, "chat_template", CHATML)
    special = model.tokenizer.eos_token
    ids = conversation_ids(
        model.tokenizer, model.text_tokenizer, [Message("user", f"{special} <question1> {{{{x}}}}")]
    )
    assert not set(model.tokenizer.all_special_ids) & set(ids.tolist())
    assert "{{x}}" in model.tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "messages is .*; expected a list of one Message or more"),
        ("hello", "messages is 'hello'"),
        ([{"role": "user", "content": "x"}], r"messages\[0\] is .* \(dict\); expected a Message"),
    ],
)
def test_what_is_no_conversation_is_refused(prompt, messages, message):
    with pytest.raises(ValueError, match=message):
        prompt(CHATML, messages)


@pytest.mark.parametrize(
    ("role", "content", "message"),
    [
        ("tool", "x", "the role of a message is 'tool'; expected one of system, user, assistant"),
        ("user", ["x"], r"the content of a user message is \['x'\] \(list\); expected a string"),
        ("user", None, "the content of a user message is None"),
    ],
)
def test_a_message_of_another_kind_is_refused(role, content, message):
    with pytest.raises(ValueError, match=message):
        Message(role, content)
