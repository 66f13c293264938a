"""A collection refuses a tokenizer that reads texts otherwise, however few of them."""

from __future__ import annotations

import json
import shutil

import pytest
from qdrant_client import QdrantClient
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.checkpoint.tokenizer_hashes import tokenizer_hashes
from llm2vec_gen_rag.errors import CollectionMismatchError
from llm2vec_gen_rag.qdrant import DocumentCollection
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

FILE = "tokenizer.json"


def swap_two_tokens(file):
    vocabulary = file["model"]["vocab"]
    one, two = list(vocabulary)[300:302]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]


def drop_a_merge(file):
    del file["model"]["merges"][-1]


def swap_two_merges(file):
    merges = file["model"]["merges"]
    merges[20], merges[40] = merges[40], merges[20]


def normalizer(**component):
    def change(file):
        file["normalizer"] = component

    return change


def pre_tokenizer(**component):
    def change(file):
        parts = [component, file["pre_tokenizer"]]
        file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}

    return change


def add_token(content, **flags):
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)

    def change(file):
        index = max(token["id"] for token in file["added_tokens"]) + 1
        file["added_tokens"].append({"id": index, "content": content} | off | flags)

    return change


def text_becomes_special(file):
    file["added_tokens"][-1]["special"] = False


def end_with_a_token(file):
    name = file["added_tokens"][0]["content"]
    index = file["added_tokens"][0]["id"]
    special = {name: {"id": name, "ids": [index], "tokens": [name]}}
    parts = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": name, "type_id": 0}}]
    file["post_processor"] = {
        "type": "TemplateProcessing", "single": parts, "pair": parts, "special_tokens": special,
    }  # fmt: skip


PATTERN = {"String": "zyx"}
CHANGES = {
    "two tokens swapped": swap_two_tokens,
    "a merge less": drop_a_merge,
    "two merges swapped": swap_two_merges,
    "NFKC": normalizer(type="NFKC"),
    "lower case": normalizer(type="Lowercase"),
    "accents stripped": normalizer(type="StripAccents"),
    "a word replaced": normalizer(type="Replace", pattern=PATTERN, content="abc"),
    "single digits": pre_tokenizer(type="Digits", individual_digits=True),
    "punctuation": pre_tokenizer(type="Punctuation", behavior="Isolated"),
    "a word split": pre_tokenizer(type="Split", pattern=PATTERN, behavior="Isolated", invert=False),
    "an added token": add_token("<think>"),
    "a word added": add_token("Japan", single_word=True),
    "a special token that is text": text_becomes_special,
    "an end token": end_with_a_token,
}


def tokenizer_of(file):
    backend = Tokenizer.from_str(json.dumps(file))
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend))


@pytest.fixture
def file(qwen3):
    """The content of the checkpoint's `tokenizer.json`, to change."""
    return json.loads((qwen3.checkpoint / FILE).read_text())


@pytest.fixture
def written(model):
    """A client with the empty collection "notes", which `model` created."""
    client = QdrantClient(":memory:")
    DocumentCollection(client, "notes", model)
    yield client
    client.close()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_tokenizer_that_reads_otherwise_is_refused(written, qwen3, file, change, tmp_path):
    checkpoint = shutil.copytree(qwen3.checkpoint, tmp_path / "checkpoint")
    change(file)
    (checkpoint / FILE).write_text(json.dumps(file))
    config = json.loads((checkpoint / "tokenizer_config.json").read_text())
    del config["added_tokens_decoder"]  # which some versions would put back
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CollectionMismatchError, match="its tokenizer read texts otherwise"):
        DocumentCollection(written, "notes", qwen3.load(checkpoint))


VOCABULARY = {"two tokens swapped", "a merge less", "two merges swapped"}
ONE_VERSION = {"a word replaced", "a word split"}  # seen by tokenizers of the same versions only


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ONE_VERSION])
def test_other_versions_of_the_libraries_see_it_too(file, name):
    before = tokenizer_hashes(tokenizer_of(file))
    CHANGES[name](file)
    after = tokenizer_hashes(tokenizer_of(file))
    seen = {"vocabulary"} if name in VOCABULARY else {"ids"}
    assert seen <= {hashed for hashed in before if before[hashed] != after[hashed]}


def test_what_does_not_decide_ids_is_no_difference(file):
    before = tokenizer_hashes(tokenizer_of(file))
    file["decoder"] = None
    file["added_tokens"] = [t for t in file["added_tokens"] if not t["content"].startswith("<que")]
    file["truncation"] = {
        "direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    assert tokenizer_hashes(tokenizer_of(file)) == before


def test_a_saved_checkpoint_opens_what_the_fresh_model_wrote(fresh_model, tmp_path):
    plain = AutoTokenizer.from_pretrained(fresh_model.backbone.config.name_or_path)
    model = LLM2VecGen.initialise(fresh_model.backbone, plain, response_tokens=2, dimension=8)
    client = QdrantClient(":memory:")
    DocumentCollection(client, "notes", model)
    model.save_pretrained(tmp_path / "saved")
    for _ in range(2):
        model = LLM2VecGen.from_pretrained(tmp_path / "saved", dtype="float32", device="cpu")
        DocumentCollection(client, "notes", model)
        model.save_pretrained(tmp_path / "saved")


# by transformers 4.57.6 with tokenizers 0.22.0, and by 5.23.0 with 0.23.3
HASHES = {
    "llama-20-10": ("35c63669", "eb3d5b1f"),
    "qwen2-6-4": ("e45a2335", "5325c9f7"),
    "qwen3-10": ("e45a2335", "5325c9f7"),
    "qwen3-10-lora": ("e45a2335", "5325c9f7"),
}


def test_every_version_of_the_libraries_hashes_alike(each_kit):
    tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(each_kit.checkpoint))
    hashes = tokenizer_hashes(tokenizer)
    found = (hashes["vocabulary"][:8], hashes["ids"][:8])
    assert found == HASHES[each_kit.folder.name]
