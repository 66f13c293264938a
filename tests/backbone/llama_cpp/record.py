"""Record what llama.cpp computes, for tests/backbone/test_llama_cpp.py to compare with.

    python record.py SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M-Instruct.F32.gguf

in an environment of its own with llama-cpp-python 0.3.36, gguf, tokenizers and sentencepiece 0.2.3.
The second file is the first, dequantised: llama.cpp rounds what it multiplies with quantised
weights, and not what it multiplies with float32. `texts.json` has texts written for this, or from
this repository, and `real_texts.jsonl` those that draw_texts.py drew. Ids of both are kept in that
order, a line for each text: 16 bits an id, in base64.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from llama_cpp import Llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
SPLITS = [
    "default", "gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "tekken", "deepseek-coder"
]  # fmt: skip
SHORT = 60  # characters
USERS = ["model", "\n\n"]
PROMPTS = [
    "What is the capital of France?",
    "In 2024 the price rose by 3.5 % to 1,204 euros.",
    "def area(radius):\n    return 3.14159 * radius ** 2",
    "Die Hauptstadt von Frankreich ist",
]


def greedy_merges(texts):
    """Return a vocabulary whose merges span what a pre-tokenizer parts, and so show each part."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * len(tokens),
        "tokenizer.ggml.merges": [" ".join(merge) for merge in model["merges"]],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }


def sentence_pieces(texts):
    """Return a vocabulary that SentencePiece learns as Llama's was, with two pieces of a user."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type="bpe",
        vocab_size=1500,
        character_coverage=0.98,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=USERS,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = range(model.vocab_size())
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [model.id_to_piece(piece) for piece in pieces],
        "tokenizer.ggml.scores": [model.get_score(piece) for piece in pieces],
        "tokenizer.ggml.token_type": [kind_of_piece(model, piece) for piece in pieces],
        "tokenizer.ggml.bos_token_id": model.bos_id(),
        "tokenizer.ggml.eos_token_id": model.eos_id(),
        "tokenizer.ggml.unknown_token_id": model.unk_id(),
    }


def kind_of_piece(model, piece):
    kinds = {2: model.is_unknown, 3: model.is_control, 6: model.is_byte}
    kind = next((kind for kind, is_it in kinds.items() if is_it(piece)), 1)
    return 4 if model.id_to_piece(piece) in USERS else kind


def ids_of(path, texts):
    model = Llama(str(path), vocab_only=True, verbose=False)
    return [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]


def ids_by(metadata, texts):
    """Return the ids by a vocabulary alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        add = {str: writer.add_string, int: writer.add_uint32, list: writer.add_array}
        add |= {bool: writer.add_bool}
        for key, value in metadata.items():
            add[type(value)](key, value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return ids_of(path, texts)


def best_tokens(path):
    """Return the five likeliest tokens amid and after each prompt."""
    # keys and values in float32, type 0, as well
    model = Llama(str(path), n_ctx=512, logits_all=True, verbose=False, type_k=0, type_v=0)
    rows = []
    for prompt in PROMPTS:
        ids = model.tokenize(prompt.encode(), add_bos=False)
        model.reset()
        model.eval(ids)
        for position in (len(ids) // 2, len(ids) - 1):
            logits = np.array(model.scores[position])
            best = np.argsort(-logits)[:5].tolist()
            values = [round(float(logits[token]), 4) for token in best]
            rows.append({"ids": ids[: position + 1], "best": best, "logits": values})
    return rows


def write(name, content):
    (HERE / name).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def write_ids(name, rows):
    packed = (base64.b64encode(np.array(row, "<u2").tobytes()).decode() for row in rows)
    (HERE / name).write_text("".join(f'"{row}"\n' for row in packed), encoding="ascii")


def main(quantised, plain):
    written = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    lines = (HERE / "real_texts.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [*written, *map(json.loads, lines)]
    write_ids("smollm2_ids.jsonl", ids_of(quantised, texts))
    write("smollm2_logits.json", best_tokens(plain))
    short = [text for text in written if len(text) <= SHORT]
    metadata = greedy_merges(short)
    ids = {name: ids_by({**metadata, "tokenizer.ggml.pre": name}, short) for name in SPLITS}
    write("splits.json", {"tokenizer": metadata, "texts": short, "ids": ids})
    pieces = sentence_pieces(texts)
    write("sentence_pieces.json", pieces)
    write_ids("sentence_pieces_ids.jsonl", ids_by(pieces, texts))
    alone = {**pieces, "tokenizer.ggml.add_space_prefix": False}
    write_ids("sentence_pieces_ids_without_prefix.jsonl", ids_by(alone, written))


if __name__ == "__main__":
    main(*sys.argv[1:])
