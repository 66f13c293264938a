"""A GGUF file that cannot be used is an error of ours that names it and says what to do."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest
import torch
from broken_checkpoints import refused
from reference_kits import ReferenceKit
from tiny_gguf import write_gguf

from llm2vec_gen_rag.backbone import BackboneOptions, load_backbone, load_base_tokenizer
from llm2vec_gen_rag.errors import BaseModelError, CollectionMismatchError, MissingExtraError

KIT = ReferenceKit("llama-20-10")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("whole") / "whole.gguf", KIT.base, "Q8_0")


@pytest.fixture
def damaged(whole, tmp_path):
    """Write the bytes of a whole file after a change, and return where."""

    def write(change):
        content = bytearray(whole.read_bytes())
        path = tmp_path / "damaged.gguf"
        result = change(content)
        path.write_bytes(content if result is None else result)
        return path

    return write


def is_refused(path, said, kind=BaseModelError):
    refused(KIT.checkpoint, kind, said, base_model=path)


def changed(tmp_path, **changes):
    return write_gguf(tmp_path / "changed.gguf", KIT.base, **changes)


# the file


@pytest.mark.parametrize("part", [0.999, 0.7, 0.3, 0.02])
def test_a_file_cut_short(damaged, part):
    path = damaged(lambda content: content[: int(len(content) * part)])
    is_refused(path, r"damaged\.gguf' cannot be loaded: it (has|ends)")


@pytest.mark.parametrize("content", [b"", b"GG", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 40])
def test_a_file_with_next_to_nothing_in_it(damaged, content):
    is_refused(damaged(lambda _: content), r"damaged\.gguf' cannot be loaded: it ends within")


def test_a_file_of_something_else(damaged, tmp_path):
    is_refused(damaged(lambda content: b"PK\x03\x04" + content[4:]), "begins with")
    shutil.copy(KIT.base / "model.safetensors", tmp_path / "model.gguf")
    is_refused(tmp_path / "model.gguf", "begins with")


@pytest.mark.parametrize("version", [1, 4, 77])
def test_another_version_of_the_format(damaged, version):
    path = damaged(lambda content: content[:4] + struct.pack("<I", version) + content[8:])
    is_refused(path, f"of version {version} ")


def test_a_big_endian_file(tmp_path):
    is_refused(changed(tmp_path, endian=">"), "big-endian")


def loaded_backbone(path):
    return load_backbone(path, torch.device("cpu"), torch.float32, BackboneOptions())


def error_of(load, path):
    try:
        load(path)
    except BaseModelError as error:
        return error
    return None


def test_bytes_overwritten_anywhere_in_the_metadata_load_or_are_an_error(whole, damaged):
    """The whole file's values may change, and no other kind of error comes of it."""
    end = whole.read_bytes().index(b"token_embd.weight") + 4000
    generator = np.random.default_rng(0)
    for start in generator.integers(4, end, 60):
        noise = generator.bytes(8)
        path = damaged(
            lambda content, at=start, noise=noise: content.__setitem__(slice(at, at + 8), noise)
        )
        for load in (load_base_tokenizer, loaded_backbone):
            error = error_of(load, str(path))
            assert error is None or "damaged.gguf" in str(error)


@pytest.mark.parametrize("name", ["blob", "x.gguf"])
def test_a_file_that_may_not_be_read(tmp_path, whole, monkeypatch, name):
    path = shutil.copy(whole, tmp_path / name)

    def deny(*_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", deny)
    for load in (load_base_tokenizer, loaded_backbone):
        with pytest.raises(BaseModelError, match=rf"{name}' .* be read \(Permission denied\)"):
            load(str(path))


def test_a_file_that_is_not_there(tmp_path):
    is_refused(tmp_path / "none.gguf", r"none\.gguf' cannot be found .*path")
    is_refused("none.gguf", "cannot be found")
    is_refused("owner/name/none.gguf", r"owner/name/none\.gguf' cannot be found")
    with pytest.raises(BaseModelError, match=r"cannot be read .*too long"):
        load_base_tokenizer("x" * 300)


def test_a_folder_with_several_files(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    is_refused(tmp_path, r"2 GGUF files: a\.gguf, b\.gguf; expected one")


def test_one_part_of_a_split_model(tmp_path):
    is_refused(changed(tmp_path, metadata={"split.count": 3}), "one of 3 parts .*merge")


def test_without_the_package_the_error_says_how_to_install_it(whole, monkeypatch):
    monkeypatch.setattr("llm2vec_gen_rag.errors.find_spec", lambda module: None)
    is_refused(whole, r"pip install 'llm2vec-gen-rag\[gguf\]'", MissingExtraError)
    with pytest.raises(MissingExtraError):
        load_base_tokenizer(str(whole))


# what it states


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"general.architecture": "mamba"}, "architecture is 'mamba'; expected one of llama"),
        ({"general.architecture": None}, "architecture is None"),
        ({"general.architecture": 7}, r"architecture is 7 \(int\)"),
        ({"llama.expert_count": 8}, "llama.expert_count = 8, which is not computed"),
        ({"llama.block_count": 4}, r"lacks 9 of its weights, such as 'model\.layers\.3"),
        ({"llama.block_count": 2}, r"'blk\.2\.\w+\.weight', for which .* no place"),
        ({"llama.block_count": None}, "llama.block_count is None"),
        ({"llama.block_count": 0}, "llama.block_count is 0"),
        ({"llama.block_count": 2**32 - 1}, f"block_count is {2**32 - 1}, and it has 30 tensors"),
        ({"llama.block_count": "3"}, "llama.block_count is '3'"),
        ({"llama.embedding_length": 32}, r"has the shape \(.*64\), and its metadata states"),
        ({"llama.feed_forward_length": 96}, r"160.*, and its metadata states .*96"),
        ({"llama.attention.head_count_kv": 4}, r"attn_k.*\(32, 64\), and .* \(64, 64\)"),
        ({"llama.attention.head_count": 0}, "head_count is 0"),
        (
            {"llama.attention.head_count": 3, "llama.attention.key_length": 16},
            "64 numbers of a state do not divide by 3 heads",
        ),
        ({"llama.attention.head_count": [4, 4, 4]}, "head_count is"),
        ({"llama.attention.layer_norm_rms_epsilon": None}, "does not state"),
        ({"llama.rope.dimension_count": 8}, "8 that are rotated"),
        ({"llama.embedding_length": 2**32 - 64}, "has the shape .*, and its metadata states"),
        ({"llama.rope.scaling.type": "yarn"}, "scaled by 'yarn'"),
        ({"tokenizer.ggml.eos_token_id": 9999}, "eos token has the id 9999"),
    ],
)
def test_metadata_of_another_llm(tmp_path, changes, said):
    is_refused(changed(tmp_path, metadata=changes), said)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"blk.1.ffn_up.weight": None}, r"lacks 1 .*layers\.1\.mlp\.up_proj"),
        ({"token_embd.weight": None}, "no tensor token_embd"),
        ({"token_embd.weight": np.zeros((300, 64))}, "487 tokens, and embeddings for 300"),
        ({"blk.0.ffn_odd.weight": np.zeros((4, 32))}, "'blk.0.ffn_odd.weight', which its arch"),
        ({"blk.9.ffn_up.weight": np.zeros((160, 64))}, "'blk.9.ffn_up.weight', for which"),
        ({"rope_freqs.weight": np.full(8, 3.0)}, "rope_freqs.weight are not those of Llama 3"),
        ({"rope_freqs.weight": np.full(9, 1.0)}, "rope_freqs.weight are not those of Llama 3"),
    ],
)
def test_tensors_of_another_llm(tmp_path, tensors, said):
    is_refused(changed(tmp_path, tensors=tensors), said)


def test_a_type_of_tensor_that_is_not_known(damaged, whole):
    name = b"blk.1.ffn_up.weight"
    at = whole.read_bytes().index(name) + len(name) + 4 + 2 * 8

    def retype(content):
        content[at : at + 4] = struct.pack("<I", 99)

    is_refused(damaged(retype), r"'blk\.1\.ffn_up\.weight' is of type 99")


# its tokenizer


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer.ggml.tokens": None}, "no tokenizer.ggml.tokens"),
        ({"tokenizer.ggml.merges": None}, "no tokenizer.ggml.merges"),
        ({"tokenizer.ggml.model": None}, "tokenizer is a None"),
        ({"tokenizer.ggml.model": "bert"}, "tokenizer is a 'bert'"),
        ({"tokenizer.ggml.model": "llama"}, "0 scores for 487 tokens"),
        ({"tokenizer.ggml.pre": None}, "splits texts as None does"),
        ({"tokenizer.ggml.pre": "martian"}, "splits texts as 'martian' does"),
        ({"tokenizer.ggml.merges": ["q zz"]}, "merges 'q' and 'zz'"),
        ({"tokenizer.ggml.merges": ["qzz"]}, "merges 'qzz'; expected two tokens"),
        ({"tokenizer.ggml.token_type": [1, 1]}, "2 kinds for 487 tokens"),
        ({"tokenizer.ggml.token_type": ["a"] * 487}, "token_type begins with 'a'; .* of int"),
    ],
)
def test_a_tokenizer_that_is_missing_or_not_known(tmp_path, changes, said):
    with pytest.raises(BaseModelError, match=said) as caught:
        load_base_tokenizer(str(changed(tmp_path, metadata=changes)))
    caught.match("base_model=")


@pytest.mark.parametrize("name", ["a b", "a:1", "$B:2"])
def test_a_bos_token_of_any_name_begins_a_text(whole, tmp_path, name):
    tokens = load_base_tokenizer(str(whole)).convert_ids_to_tokens(range(487))
    metadata = {"tokenizer.ggml.tokens": [*tokens[:3], name, *tokens[4:]]}
    tokenizer = load_base_tokenizer(str(changed(tmp_path, metadata=metadata)))
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id == 3


# whose vectors


def test_a_collection_opens_with_the_file_that_wrote_it_and_refuses_a_requantised_one(
    whole, tmp_path
):
    qdrant_client = pytest.importorskip("qdrant_client", reason='needs the extra "qdrant"')
    from llm2vec_gen_rag.qdrant import Document, DocumentCollection

    client = qdrant_client.QdrantClient(":memory:")
    document = Document("The yen is the money of Japan.")
    DocumentCollection(client, "notes", KIT.load(base_model=whole)).index([document])
    moved = shutil.copy(whole, tmp_path / "moved.gguf")
    assert DocumentCollection(client, "notes", KIT.load(base_model=moved)).search("yen")
    other = write_gguf(tmp_path / "other.gguf", KIT.base, "Q5_1")
    with pytest.raises(CollectionMismatchError, match="other weights"):
        DocumentCollection(client, "notes", KIT.load(base_model=other))
    client.close()
