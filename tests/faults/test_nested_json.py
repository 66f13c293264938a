"""JSON that is nested more deeply than Python reads is an error that names the file."""

from __future__ import annotations

import pytest
from broken_checkpoints import refused

from llm2vec_gen_rag.errors import BaseModelError, CheckpointError
from llm2vec_gen_rag.teachers.tfidf import VOCABULARY_FILE, TfidfTeacher

DEPTH = 100_000
OF_CHECKPOINT = [
    "encoder_decoder_config.json",
    "prompts.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "encoder/adapter_config.json",
    "encoder/config.json",
]


def nested(beginning, end):
    return beginning + "[" * DEPTH + "]" * DEPTH + end


CONTENTS = ["[" * DEPTH, nested("", ""), nested('{"encoding_mode": ', "}")]


@pytest.mark.parametrize("content", CONTENTS, ids=["open", "closed", "inside"])
@pytest.mark.parametrize("name", OF_CHECKPOINT)
def test_a_file_of_a_checkpoint(broken, name, content):
    (broken / name).write_text(content)
    refused(broken, CheckpointError, name.replace(".", r"\."))


@pytest.mark.parametrize("content", CONTENTS, ids=["open", "closed", "inside"])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_file_of_a_base_model(broken, name, content):
    (broken / "base" / name).write_text(content)
    refused(broken, BaseModelError, name.replace(".", r"\."))


def test_a_file_of_a_teacher(tmp_path):
    (tmp_path / VOCABULARY_FILE).write_text("[" * DEPTH)
    with pytest.raises(ValueError, match="holds no readable teacher"):
        TfidfTeacher.load(tmp_path)
