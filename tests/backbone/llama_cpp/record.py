"""Record what llama.cpp computes, for tests/backbone/test_llama_cpp.py to compare with.

    python record.py SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M-Instruct.F32.gguf

in an environment of its own with llama-cpp-python 0.3.36, gguf and tokenizers. The second file is
the first, dequantised: llama.cpp rounds what it multiplies with quantised weights, and not what it
multiplies with float32. `texts.json` has texts written for this, or from this repository.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from llama_cpp import Llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
SPLITS = [
    "default", "gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "tekken", "deepseek-coder"
]  # fmt: skip
SHORT = 60  # characters
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


def ids_of(path, texts):
    model = Llama(str(path), vocab_only=True, verbose=False)
    return [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]


def split_ids(metadata, texts, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for key, value in {**metadata, "tokenizer.ggml.pre": name}.items():
            add = {str: writer.add_string, int: writer.add_uint32, list: writer.add_array}
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


def main(quantised, plain):
    texts = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    write("smollm2_ids.json", ids_of(quantised, texts))
    write("smollm2_logits.json", best_tokens(plain))
    short = [text for text in texts if len(text) <= SHORT]
    metadata = greedy_merges(short)
    ids = {name: split_ids(metadata, short, name) for name in SPLITS}
    write("splits.json", {"tokenizer": metadata, "texts": short, "ids": ids})


if __name__ == "__main__":
    main(*sys.argv[1:])
