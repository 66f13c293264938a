"""Checkpoints of the measured shapes, in the format that both packages read.

Speed and memory depend on the shape alone, so weights are random, and the tokenizer is trained on
the texts to embed, so that their lengths in tokens are realistic. Accuracy depends on the weights:
the shape smollm2 is the real LLM with its own tokenizer, and fresh response tokens and heads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from benchmarks.texts import Texts, read_texts
from llm2vec_gen_rag import LLM2VecGen, smollm2
from llm2vec_gen_rag.backbone import BackboneOptions, load_backbone, load_base_tokenizer

RUNS = Path(__file__).parent.parent / "runs" / "benchmarks"
END = "<|endoftext|>"
SMOLLM2 = "smollm2"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a causal LM and of the response tokens on it.

    Attributes:
        documents: how many texts one timed call embeds.
        queries: likewise.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int
    response_tokens: int
    documents: int
    queries: int

    @property
    def key_value_weights(self) -> int:
        """Weights of one layer that make keys and values."""
        return 2 * self.hidden * self.key_heads * self.head

    @property
    def layer_weights(self) -> int:
        """Weights in the matrices of one layer."""
        queries_and_output = 2 * self.hidden * self.heads * self.head
        return queries_and_output + self.key_value_weights + 3 * self.hidden * self.intermediate


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            name="almanac", layers=6, hidden=256, intermediate=640, heads=4, key_heads=2, head=64,
            vocabulary=4_096, response_tokens=8, documents=200, queries=300,
        ),
        Shape(
            name="12x512", layers=12, hidden=512, intermediate=1_536, heads=8, key_heads=4, head=64,
            vocabulary=32_000, response_tokens=10, documents=64, queries=128,
        ),
        Shape(
            name="0.6b", layers=28, hidden=1_024, intermediate=3_072, heads=16, key_heads=8,
            head=128, vocabulary=32_000, response_tokens=10, documents=12, queries=64,
        ),
        Shape(
            name=SMOLLM2, layers=30, hidden=576, intermediate=1_536, heads=9, key_heads=3, head=64,
            vocabulary=49_152, response_tokens=10, documents=48, queries=128,
        ),
    )
}  # fmt: skip


def prepare(options: argparse.Namespace) -> tuple[Shape, Texts, str]:
    """Return the shape and texts that a program's options name, and their checkpoint's folder."""
    shape, texts = SHAPES[options.shape], read_texts(options.texts)
    return shape, texts, str(checkpoint_for(shape, texts))


def checkpoint_for(shape: Shape, texts: Texts, folder: Path = RUNS) -> Path:
    """Return the folder of a shape's checkpoint; build it if it does not exist."""
    home = folder / f"{shape.name}-{texts.source}"
    built, unfinished = home / "checkpoint", home / "unfinished"
    if not (built / "run_config.yml").is_file():
        torch.manual_seed(0)
        lm, tokenizer = _real_lm() if shape.name == SMOLLM2 else _random_lm(shape, texts)
        lm.save_pretrained(home / "base")
        tokenizer.save_pretrained(str(home / "base"))
        backbone = AutoModelForCausalLM.from_pretrained(home / "base", dtype=torch.bfloat16)
        model = LLM2VecGen.initialise(
            backbone, tokenizer, response_tokens=shape.response_tokens, dimension=shape.hidden
        )
        model.response_tokens.data = model.response_tokens.bfloat16().float()
        model.save_pretrained(unfinished)
        for head in ("reconstruction_mlp", "alignment_mlp"):
            _store_in_bfloat16(unfinished / head)
        unfinished.rename(built)
    return built


def _tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE trained on texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # the reference reads the last tokens of every row, so it has to pad on the left
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=END, padding_side="left"
    )


def _real_lm() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return smollm2's LLM in bfloat16, without an end token, and its tokenizer."""
    file = smollm2.installed_gguf()
    if file is None:
        raise SystemExit(f"the shape {SMOLLM2} needs its LLM; run: {smollm2.INSTALL}")
    lm = load_backbone(str(file), torch.device("cpu"), torch.bfloat16, BackboneOptions())
    tokenizer = load_base_tokenizer(str(file))
    tokenizer.padding_side = "left"  # as that of `_tokenizer`
    # where transformers 4, and so the reference package, reads the base of the rotary positions
    lm.config.rope_theta = lm.config.rope_parameters["rope_theta"]
    for config in (lm.config, lm.generation_config):  # it writes as much as it is asked for
        config.eos_token_id = None
    return lm, tokenizer


def _random_lm(shape: Shape, texts: Texts) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return an LM of random weights in bfloat16 that never writes its end token, and a tokenizer.

    The tokenizer is trained on the texts.
    """
    tokenizer = _tokenizer([*texts.documents, *texts.queries], shape.vocabulary)
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.head,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=None,
    )
    backbone = Qwen3ForCausalLM(config).to(torch.bfloat16)
    # a logit of zero is never the largest of thousands
    backbone.get_input_embeddings().weight.data[0] = 0
    return backbone, tokenizer


def _store_in_bfloat16(head: Path) -> None:
    """Round a stored head to bfloat16, the one dtype that the reference runs in."""
    stored = torch.load(head, weights_only=True)
    weights = {name: weight.bfloat16() for name, weight in stored["state_dict"].items()}
    config = {**stored["config"], "dtype": str(torch.bfloat16)}
    torch.save({"state_dict": weights, "config": config}, head)
