"""A text has the ids that `tokenizer.json` gives it, in every version of transformers."""

from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, processors, trainers
from tokenizers.pre_tokenizers import (
    BertPreTokenizer,
    ByteLevel,
    Digits,
    Metaspace,
    Sequence,
    Split,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llm2vec_gen_rag.backbone import load_base_tokenizer
from llm2vec_gen_rag.checkpoint.tokenizer_files import (
    add_response_tokens,
    load_tokenizer,
    save_tokenizer,
)
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

TEXTS = [
    "Polar bears swim 1234 km, or 56.",
    "  Two  spaces, Größe, naïve café",
    "don't\n\nSWIM\tnow </s> <think> <s>",
    "",
    " ",
]
WRITTEN_OUT = ["Polar bears swim 1234 km, 1234 times.", "They don't swim 56 km now.", "Größe café"]
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}


def trained(model, trainer, pre_tokenizer):
    """Train on a few texts, with the vocabulary's special tokens first and a BOS before a text."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    alphabet = ByteLevel.alphabet() if isinstance(pre_tokenizer, ByteLevel) else []
    settings = trainer(
        vocab_size=400,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(WRITTEN_OUT * 3, settings)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    return tokenizer


def byte_level(*before, prefix=False):
    model = models.BPE(ignore_merges=True)
    tokenizer = trained(model, trainers.BpeTrainer, ByteLevel(add_prefix_space=False))
    last = ByteLevel(add_prefix_space=prefix)
    tokenizer.pre_tokenizer = Sequence([*before, last]) if before else last
    return tokenizer


def sentence_piece(**components):
    model = models.BPE(unk_token="<unk>", fuse_unk=True)
    tokenizer = trained(model, trainers.BpeTrainer, Metaspace())
    tokenizer.pre_tokenizer = None
    for name, component in components.items():
        setattr(tokenizer, name, component)
    return tokenizer


def llama():
    parts = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    return sentence_piece(normalizer=normalizers.Sequence(parts))


def gemma():
    return sentence_piece(
        normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", "▁")]),
        pre_tokenizer=Split("▁", "merged_with_next"),
    )


def word_piece():
    model = models.WordPiece(unk_token="<unk>")
    tokenizer = trained(model, trainers.WordPieceTrainer, BertPreTokenizer())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    return tokenizer


# the class in tokenizer_config.json, as on the hub, beside what tokenizer.json holds
LAYOUTS = {
    "SmolLM2": ("GPT2Tokenizer", lambda: byte_level(Digits(individual_digits=True))),
    "GPT-2": ("GPT2Tokenizer", byte_level),
    "a space in front": ("GPT2Tokenizer", lambda: byte_level(prefix=True)),
    "Llama 2": ("LlamaTokenizer", llama),
    "Metaspace": ("LlamaTokenizer", lambda: sentence_piece(pre_tokenizer=Metaspace())),
    "DeepSeek": ("LlamaTokenizerFast", lambda: byte_level(Digits(individual_digits=True))),
    "Gemma": ("GemmaTokenizer", gemma),
    "BERT": ("BertTokenizer", word_piece),
    "Qwen2": ("Qwen2Tokenizer", lambda: byte_level(Digits())),
    "Llama 3": ("PreTrainedTokenizerFast", lambda: byte_level(Digits())),
}


def written(folder, layout, **settings):
    """Write the files of a tokenizer; return the ids that its `tokenizer.json` gives to texts."""
    name, tokenizer = layout
    tokenizer().save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": name, **SPECIAL, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return ids_in_file(folder)


def ids_in_file(folder):
    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    file.encode_special_tokens = True
    return [file.encode(text).ids for text in TEXTS]


def ids(tokenizer):
    return [row.tolist() for row in TextTokenizer(tokenizer).token_ids(TEXTS)]


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


def test_a_base_model_reads_texts_as_its_file_says(tmp_path, layout):
    expected = written(tmp_path, layout)
    assert ids(load_base_tokenizer(str(tmp_path))) == expected


def test_a_checkpoint_reads_texts_as_its_base_model_did(tmp_path, layout):
    expected = written(tmp_path, layout, chat_template="{{ messages[0].content }}!")
    names = ["<question1>", "<question2>"]
    tokenizer = load_base_tokenizer(str(tmp_path))
    response_tokens = add_response_tokens(tokenizer, names)
    for copy in ("once", "twice"):
        save_tokenizer(tokenizer, tmp_path / copy, names)
        tokenizer = load_tokenizer(tmp_path / copy)
        assert ids(tokenizer) == ids_in_file(tmp_path / copy) == expected
        assert ids(AutoTokenizer.from_pretrained(tmp_path / copy)) == expected
        assert tokenizer.convert_tokens_to_ids(names) == response_tokens
        assert tokenizer.tokenize("a<question1>")[-1] == names[0]
        assert tokenizer.decode(response_tokens, skip_special_tokens=True) == ""
        assert {name: getattr(tokenizer, name) for name in SPECIAL} == SPECIAL
        turn = [{"role": "user", "content": "Hi"}]
        assert tokenizer.apply_chat_template(turn, tokenize=False) == "Hi!"


BOS, EOS = 1, 2
# what transformers 4 makes of a file that puts a BOS before a text
ENDS = {
    "no BOS": ("LlamaTokenizer", {"add_bos_token": False}, [], []),
    "a BOS and an EOS": ("LlamaTokenizer", {"add_eos_token": True}, [BOS], [EOS]),
    "an EOS alone": ("GemmaTokenizer", {"add_bos_token": False, "add_eos_token": True}, [], [EOS]),
    "as in the file": ("LlamaTokenizerFast", {"add_bos_token": True}, [BOS], []),
    "no BOS unless stated": ("GPTNeoXTokenizer", {"add_eos_token": True}, [], [EOS]),
    "a class that does not obey": ("PreTrainedTokenizerFast", {"add_bos_token": False}, [BOS], []),
    "another one": ("Qwen2Tokenizer", {"add_eos_token": True}, [BOS], []),
}


@pytest.mark.parametrize(("name", "settings", "first", "last"), ENDS.values(), ids=ENDS)
def test_bos_and_eos_are_those_of_transformers_4(tmp_path, name, settings, first, last):
    layout = (name, byte_level if name.startswith(("Qwen", "GPT", "Pre")) else llama)
    in_file = written(tmp_path, layout, **settings)
    expected = [[*first, *row[1:], *last] for row in in_file]
    tokenizer = load_base_tokenizer(str(tmp_path))
    assert ids(tokenizer) == expected
    names = ["<question1>"]
    add_response_tokens(tokenizer, names)
    save_tokenizer(tokenizer, tmp_path / "saved", names)
    for load in (load_tokenizer, AutoTokenizer.from_pretrained):
        assert ids(load(tmp_path / "saved")) == expected


@pytest.mark.parametrize("stated", [True, False])
def test_the_space_in_front_is_as_the_config_states(tmp_path, stated):
    layout = ("GPT2Tokenizer", lambda: byte_level(prefix=not stated))
    found = written(tmp_path, layout, add_prefix_space=stated)
    expected = written(tmp_path, ("GPT2Tokenizer", lambda: byte_level(prefix=stated)))
    written(tmp_path, layout, add_prefix_space=stated)
    assert ids(load_base_tokenizer(str(tmp_path))) == expected != found


def test_tokens_that_only_the_config_adds_are_found(tmp_path):
    token = {"content": "swim", "special": False, "normalized": False}
    token |= dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
    last = byte_level().get_vocab_size()
    in_file = written(tmp_path, LAYOUTS["GPT-2"], added_tokens_decoder={str(last): token})
    found = ids(load_base_tokenizer(str(tmp_path)))
    assert last in found[0]
    assert found[1] == in_file[1]


def test_a_vocabulary_and_merges_without_that_file_are_read(tmp_path):
    expected = written(tmp_path, LAYOUTS["GPT-2"])
    (tmp_path / "tokenizer.json").unlink()
    byte_level().model.save(str(tmp_path))
    found = ids(load_base_tokenizer(str(tmp_path)))
    assert found[0][-5:] == expected[0][-5:]


def with_dropout():
    tokenizer = byte_level()
    tokenizer.model.dropout = 0.5
    return tokenizer


def test_dropout_is_off(tmp_path):
    random = ("GPT2Tokenizer", with_dropout)
    written(tmp_path, random)
    loaded = [load_base_tokenizer(str(tmp_path)), load_tokenizer(tmp_path)]
    expected = written(tmp_path, LAYOUTS["GPT-2"])
    own = PreTrainedTokenizerFast(tokenizer_object=with_dropout())
    for tokenizer in (*loaded, own):
        assert all(ids(tokenizer) == expected for _ in range(10))
    for tokenizer in loaded:
        assert all(tokenizer(TEXTS[:2])["input_ids"] == expected[:2] for _ in range(10))
