"""An LLM with a table of positions reads what it has positions for, and no more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    MptConfig,
    OPTConfig,
)

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.explain import logit_lens
from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher
from llm2vec_gen_rag.training.objective import step_losses
from llm2vec_gen_rag.training.responses.file import read_responses
from llm2vec_gen_rag.training.responses.local import write_responses

POSITIONS, RESPONSE_TOKENS = 64, 4
LONG = "polar bears live on the ice " * 30
SMALL = {"vocab_size": 486, "eos_token_id": 2, "bos_token_id": 2}
CONFIGS = {
    "gpt2": GPT2Config(n_positions=POSITIONS, n_embd=32, n_layer=2, n_head=2, **SMALL),
    "opt": OPTConfig(
        max_position_embeddings=POSITIONS, hidden_size=32, word_embed_proj_dim=32, ffn_dim=64,
        num_hidden_layers=2, num_attention_heads=2, **SMALL,
    ),
    "gpt-neo": GPTNeoConfig(
        max_position_embeddings=POSITIONS, hidden_size=32, num_layers=2, num_heads=2,
        attention_types=[[["global"], 2]], **SMALL,
    ),
    "gpt-j": GPTJConfig(
        n_positions=POSITIONS, n_embd=32, n_layer=2, n_head=2, rotary_dim=8, **SMALL,
    ),
    "mpt": MptConfig(max_seq_len=POSITIONS, d_model=32, n_layers=2, n_heads=2, **SMALL),
}  # fmt: skip


@pytest.fixture(scope="module", params=CONFIGS)
def limited(request, qwen3):
    torch.manual_seed(0)
    backbone = AutoModelForCausalLM.from_config(CONFIGS[request.param]).eval()
    tokenizer = AutoTokenizer.from_pretrained(qwen3.base)
    return LLM2VecGen.initialise(
        backbone, tokenizer, response_tokens=RESPONSE_TOKENS, dimension=8, name=request.param
    )


def test_a_text_is_cut_at_what_the_llm_has_positions_for(limited):
    assert limited.positions == POSITIONS
    cut = limited.encode(LONG, max_length=POSITIONS)
    np.testing.assert_allclose(limited.encode(LONG), cut, atol=1e-5)
    np.testing.assert_allclose(limited.encode([LONG, "x"])[0], cut, atol=1e-5)
    ids = limited.text_tokenizer.token_ids([LONG], max_tokens=POSITIONS)[0]
    kept = limited.tokenizer.decode(ids[: POSITIONS - RESPONSE_TOKENS])
    np.testing.assert_allclose(limited.encode(kept), cut, atol=1e-5)
    assert len(logit_lens(limited, LONG)) == RESPONSE_TOKENS


@pytest.mark.parametrize("new", [1, 60, 64, 500])
def test_writing_ends_where_the_positions_do(limited, new):
    texts = [LONG, "x"]
    for write in (limited.decode, limited.answer):
        together = write(texts, max_new_tokens=new)
        assert together == [write(text, max_new_tokens=new) for text in texts]


def test_a_chat_template_counts(limited, monkeypatch):
    template = "{% for m in messages %}user says {{ m.content }} and you say {% endfor %}"
    monkeypatch.setattr(limited.tokenizer, "chat_template", template)
    assert isinstance(limited.answer(LONG, max_new_tokens=60), str)


def test_too_few_positions_for_the_response_tokens(limited, qwen3):
    tokenizer = AutoTokenizer.from_pretrained(qwen3.base)
    many = LLM2VecGen.initialise(
        limited.backbone, tokenizer, response_tokens=POSITIONS, dimension=8
    )
    with pytest.raises(ValueError, match=r"has 64 positions and the 64 response tokens take 64"):
        many.encode("x")


def test_an_llm_with_rotary_positions_has_no_such_limit(each_model):
    assert each_model.positions is None
    stated = each_model.backbone.config.max_position_embeddings
    longer = each_model.encode("ice " * 2 * stated, max_length=stated + 100)
    assert np.isfinite(longer).all()


def test_training_reads_no_more_than_the_llm_has_positions_for(limited):
    losses = step_losses(limited, [LONG, "x"], ["ice", LONG], np.ones((2, 8), dtype=np.float32))
    assert torch.isfinite(losses.reconstruction + losses.alignment)


def test_responses_are_cut_at_the_positions_too(limited, tmp_path):
    for name, query in (("long", LONG), ("cut", LONG[:-40])):
        write_responses(limited.backbone, limited.tokenizer, [query], tmp_path / f"{name}.jsonl")
    (long,), (cut,) = (read_responses(tmp_path / f"{name}.jsonl") for name in ("long", "cut"))
    assert long.response == cut.response == limited.answer(LONG, max_new_tokens=500)


def test_a_chat_template_that_leaves_no_room_is_refused_with_both_numbers(limited, monkeypatch):
    template = "{% for m in messages %}" + "so " * 80 + "{{ m.content }}{% endfor %}"
    monkeypatch.setattr(limited.tokenizer, "chat_template", template)
    with pytest.raises(ValueError, match=r"room for a prompt of 32 tokens, .* alone takes \d+;"):
        limited.answer(LONG)


def test_a_teacher_reads_no_more_than_its_llm_has_positions_for(limited):
    teacher = BackboneMeanTeacher(limited.backbone, limited.tokenizer, name="mean")
    vectors = teacher.embed([LONG, "x", LONG[:-40]])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
