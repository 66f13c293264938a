"""A GGUF file as the frozen LLM: the same vectors, tokens and answers as from a folder."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from reference_kits import ReferenceKit
from tiny_gguf import TEMPLATE, gguf, write_gguf

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.backbone import (
    BackboneOptions,
    load_backbone,
    load_base_tokenizer,
)
from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.parallel import EncoderPool
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

TEXTS = ["where do polar bears live", "In 1994, 3.14 & 007!", "", "naïve 東京 🐻", "<|im_end|> x"]
FAMILIES = ["llama-20-10", "qwen2-6-4", "qwen3-10"]
CPU = torch.device("cpu")


@pytest.fixture(scope="session", params=FAMILIES)
def converted_kit(request, tmp_path_factory):
    """A reference checkpoint of each family, and its base model as an unquantised GGUF file."""
    kit = ReferenceKit(request.param)
    return kit, write_gguf(tmp_path_factory.mktemp("gguf") / "base.gguf", kit.base)


@pytest.fixture(scope="session")
def llama():
    return ReferenceKit("llama-20-10")


@pytest.fixture(scope="session")
def packed(llama, tmp_path_factory):
    """The Llama base model in 4 bits."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "packed.gguf", llama.base, "Q4_1")


def backbone_of(path, dtype=torch.float32):
    return load_backbone(str(path), CPU, dtype, BackboneOptions())


# the LLM


def test_a_gguf_file_embeds_and_decodes_as_the_folder_that_it_was_made_from(converted_kit):
    kit, file = converted_kit
    model = kit.load(base_model=file)
    length = kit.expected["max_lengths"][0] if "max_lengths" in kit.expected else 512
    expected = kit.load()
    vectors = model.encode(kit.texts, max_length=length, normalize=False)
    np.testing.assert_array_equal(
        vectors, expected.encode(kit.texts, max_length=length, normalize=False)
    )
    assert model.decode(kit.texts, max_new_tokens=8) == expected.decode(kit.texts, max_new_tokens=8)
    assert weights_digest(model.backbone) == weights_digest(expected.backbone)


def test_blocks_of_any_size_make_the_same_weights(packed, monkeypatch):
    whole = weights_digest(backbone_of(packed))
    monkeypatch.setattr("llm2vec_gen_rag.backbone.gguf.dequantise._BLOCK", 1000)
    assert weights_digest(backbone_of(packed)) == whole


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_1", "Q4_1", "Q4_0"])
def test_quantised_weights_are_what_the_gguf_package_makes_of_them(llama, tmp_path, kind):
    backbone = backbone_of(write_gguf(tmp_path / "x.gguf", llama.base, kind))
    plain = backbone_of(llama.base)
    kinds = gguf.GGMLQuantizationType
    for name in (
        "model.embed_tokens",
        "model.layers.1.mlp.up_proj",
        "model.layers.2.self_attn.v_proj",
    ):
        weight = plain.get_submodule(name).weight.numpy()
        expected = gguf.dequantize(gguf.quantize(weight, kinds[kind]), kinds[kind])
        np.testing.assert_array_equal(backbone.get_submodule(name).weight.numpy(), expected)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("F32", torch.float32), ("F16", torch.float16), ("Q4_1", torch.bfloat16)]
)
def test_without_a_dtype_weights_keep_their_own_or_become_bfloat16(llama, tmp_path, kind, dtype):
    file = write_gguf(tmp_path / "x.gguf", llama.base, kind)
    assert backbone_of(file, dtype=None).dtype == dtype


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_a_gguf_file_embeds_in_other_dtypes(llama, packed, dtype):
    exact = llama.load(base_model=packed).encode(TEXTS)
    vectors = llama.load(base_model=packed, dtype=dtype).encode(TEXTS)
    assert (exact * vectors).sum(axis=1).min() > 0.99


def test_a_gguf_file_can_be_put_on_a_device_map(llama, packed):
    pytest.importorskip("accelerate")
    mapped = llama.load(base_model=packed, device=None, device_map="cpu")
    expected = llama.load(base_model=packed).encode("x")
    np.testing.assert_allclose(mapped.encode("x"), expected, atol=1e-5)


def test_linear_and_llama_3_scaling_of_positions_are_read(llama, tmp_path):
    scaled = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    linear = backbone_of(write_gguf(tmp_path / "linear.gguf", llama.base, metadata=scaled))
    frequencies = 10000.0 ** -(np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(linear.model.rotary_emb.inv_freq, frequencies / 4, rtol=1e-6)
    turns = 8192 * frequencies / (2 * np.pi)
    kept = np.clip((turns - 1) / 3, 0, 1)
    divisors = (1 / ((1 - kept) / 8 + kept)).astype(np.float32)
    tensors = {"rope_freqs.weight": divisors}
    llama3 = backbone_of(write_gguf(tmp_path / "llama3.gguf", llama.base, tensors=tensors))
    np.testing.assert_allclose(llama3.model.rotary_emb.inv_freq, frequencies / divisors, rtol=1e-5)


def test_heads_whose_stated_size_is_no_part_of_a_state_are_read(tmp_path):
    qwen3 = ReferenceKit("qwen3-10")
    sizes = {"attn_q": (48, 64), "attn_k": (16, 64), "attn_v": (16, 64), "attn_output": (64, 48)}
    tensors = {
        f"blk.{layer}.{name}.weight": np.full(size, 0.01, dtype=np.float32)
        for layer in range(3)
        for name, size in sizes.items()
    }
    counts = {"qwen3.attention.head_count": 3, "qwen3.attention.head_count_kv": 1}
    path = write_gguf(tmp_path / "three.gguf", qwen3.base, metadata=counts, tensors=tensors)
    backbone = backbone_of(path)
    assert (backbone.config.num_attention_heads, backbone.config.head_dim) == (3, 16)
    assert backbone(torch.ones(1, 4, dtype=torch.long)).logits.isfinite().all()


# its name


def test_a_folder_with_one_gguf_file_stands_for_the_file(llama, packed, monkeypatch):
    expected = llama.load(base_model=packed).encode("x")
    np.testing.assert_array_equal(llama.load(base_model=packed.parent).encode("x"), expected)
    monkeypatch.chdir(packed.parent)
    np.testing.assert_array_equal(llama.load(base_model="packed.gguf").encode("x"), expected)


def test_a_gguf_file_of_any_name_is_known_by_its_first_bytes(llama, packed, tmp_path):
    blob = shutil.copy(packed, tmp_path / "sha256-77665ea4")
    assert llama.load(base_model=blob).encode("x").shape == (llama.load().dimension,)


def test_a_file_on_the_hub_is_named_by_its_repository_and_path(llama, packed, monkeypatch):
    asked = []

    def download(repository, name, **options):
        asked.append((repository, name))
        return str(packed)

    monkeypatch.setattr("llm2vec_gen_rag.backbone.gguf.location.hf_hub_download", download)
    model = llama.load(base_model="owner/name-GGUF/q4/packed.gguf")
    assert asked == [("owner/name-GGUF", "q4/packed.gguf")]
    assert model.encode("x").shape == (model.dimension,)


def test_a_saved_checkpoint_finds_its_gguf_file_again(llama, packed, tmp_path, monkeypatch):
    monkeypatch.chdir(packed.parent)
    model = llama.load(base_model="packed.gguf")
    model.save_pretrained(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    loaded = LLM2VecGen.from_pretrained(tmp_path / "saved", dtype="float32", device="cpu")
    np.testing.assert_array_equal(loaded.encode(TEXTS), model.encode(TEXTS))


def test_a_gguf_file_inside_a_checkpoint_moves_with_it(llama, packed, tmp_path):
    inside = tmp_path / "first" / "base.gguf"
    inside.parent.mkdir()
    inside.write_bytes(packed.read_bytes())
    llama.load(base_model=inside).save_pretrained(inside.parent)
    inside.parent.rename(tmp_path / "moved")
    loaded = LLM2VecGen.from_pretrained(tmp_path / "moved", dtype="float32", device="cpu")
    assert loaded.encode("x").shape == (loaded.dimension,)


@pytest.mark.slow
def test_a_pool_loads_the_gguf_file_in_each_process(llama, packed, forked_workers):
    settings = {"base_model": packed, "dtype": "float32"}
    with EncoderPool(llama.checkpoint, devices=["cpu"], **settings) as pool:
        vectors = pool.encode(TEXTS)
    np.testing.assert_allclose(vectors, llama.load(base_model=packed).encode(TEXTS), atol=1e-6)


# a fresh model


def test_a_fresh_model_on_a_gguf_file_is_saved_and_loaded(packed, tmp_path):
    backbone, tokenizer = backbone_of(packed), load_base_tokenizer(str(packed))
    model = LLM2VecGen.initialise(backbone, tokenizer, response_tokens=4, dimension=8)
    model.save_pretrained(tmp_path)
    loaded = LLM2VecGen.from_pretrained(tmp_path, dtype="float32", device="cpu")
    np.testing.assert_array_equal(loaded.encode(TEXTS), model.encode(TEXTS))
    assert loaded.answer(TEXTS[0], max_new_tokens=4) == model.answer(TEXTS[0], max_new_tokens=4)


# the tokenizer


def test_the_tokenizer_gives_the_ids_of_the_one_that_it_was_made_from(converted_kit):
    kit, file = converted_kit
    built, original = load_base_tokenizer(str(file)), load_base_tokenizer(str(kit.base))
    texts = [*TEXTS, *kit.texts]
    for row, expected in zip(
        TextTokenizer(built).token_ids(texts), TextTokenizer(original).token_ids(texts), strict=True
    ):
        np.testing.assert_array_equal(row, expected)
    ids = built("<|im_start|>user\nx<|im_end|>")["input_ids"]
    assert ids == original("<|im_start|>user\nx<|im_end|>")["input_ids"]
    assert built.decode(ids) == original.decode(ids)


def test_special_tokens_template_and_end_tokens_are_those_of_the_file(llama, tmp_path):
    sampling = {"general.sampling.temp": 0.7, "general.sampling.top_k": 20}
    metadata = {**sampling, "tokenizer.ggml.eot_token_id": 1}
    file = write_gguf(tmp_path / "x.gguf", llama.base, metadata=metadata)
    tokenizer, settings = load_base_tokenizer(str(file)), backbone_of(file).generation_config
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|begin_of_text|>", "<|im_end|>")
    assert (tokenizer.pad_token_id, tokenizer.chat_template) == (0, TEMPLATE)
    assert settings.eos_token_id == [2, 1]
    assert settings.do_sample
    assert (round(settings.temperature, 6), settings.top_k) == (0.7, 20)


def test_a_sentence_piece_tokenizer_merges_by_score_and_falls_back_to_bytes(llama, tmp_path):
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = ["▁", "n", "o", "no", "▁n", "▁no", "on"]
    scores = [0.0] * len(pieces) + [-9.0, -8.0, -7.0, -3.0, -2.0, -4.0, -1.0]
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces + words,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(words),
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": None,
    }
    file = write_gguf(tmp_path / "x.gguf", llama.base, metadata=metadata)
    tokenizer = load_base_tokenizer(str(file))
    assert tokenizer.tokenize("non no é") == ["▁n", "on", "▁no", "▁", "<0xC3>", "<0xA9>"]
    assert tokenizer("no")["input_ids"][0] == 1
    assert tokenizer.decode(tokenizer("non é")["input_ids"][1:]) == "non é"
