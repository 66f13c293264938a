"""Random-weight checkpoints of any shape, in the published format, which both packages read.

Speed and memory depend on the shape alone. The tokenizer is trained on the texts to be embedded, so
that their lengths in tokens are real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from benchmarks.shapes import Shape
from benchmarks.texts import Texts
from llm2vec_gen_rag.backbone.facts import freeze
from llm2vec_gen_rag.checkpoint.adapter import AdapterWeights
from llm2vec_gen_rag.checkpoint.format import Checkpoint, write_checkpoint
from llm2vec_gen_rag.checkpoint.fresh import new_checkpoint
from llm2vec_gen_rag.checkpoint.initialisation import Initialisation

RUNS = Path(__file__).parent.parent / "runs" / "benchmarks"
END = "<|endoftext|>"


def checkpoint_for(shape: Shape, texts: Texts, folder: Path = RUNS) -> Path:
    """Return the folder of the checkpoint of a shape, which is built where it is not there yet.

    Args:
        shape: of the LM.
        texts: what the tokenizer is trained on.
        folder: where checkpoints are kept.
    """
    home = folder / f"{shape.name}-{texts.source}"
    built = home / "checkpoint"
    if not (built / "run_config.yml").is_file():
        torch.manual_seed(0)
        tokenizer = _tokenizer([*texts.documents, *texts.queries], shape.vocabulary)
        backbone = _backbone(shape)
        backbone.save_pretrained(home / "base")
        tokenizer.save_pretrained(str(home / "base"))
        write_checkpoint(built, _checkpoint(shape, backbone, tokenizer), str(home / "base"))
    return built


def _tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerBase:
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


def _backbone(shape: Shape) -> Qwen3ForCausalLM:
    """Return an LM of random weights in bfloat16 that never writes its end token."""
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
    freeze(backbone)
    # a logit of zero is never the largest of thousands
    backbone.get_input_embeddings().weight[0] = 0
    return backbone


def _checkpoint(
    shape: Shape, backbone: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase
) -> Checkpoint:
    """Return random response tokens and heads in bfloat16, the one dtype the reference runs in."""
    initialisation = Initialisation(
        response_tokens=shape.response_tokens,
        compression_tokens=shape.response_tokens,
        initial_text="",
        seed=0,
        lora_rank=0,
        lora_alpha=1,
    )
    checkpoint = new_checkpoint(backbone, tokenizer, shape.hidden, initialisation)
    tokens = checkpoint.adapter.response_tokens.to(torch.bfloat16).float()
    return replace(
        checkpoint,
        adapter=AdapterWeights(tokens, {}),
        reconstruction=_rounded(checkpoint.reconstruction),
        alignment=_rounded(checkpoint.alignment),
        head_dtypes=(torch.bfloat16, torch.bfloat16),
    )


def _rounded(head: nn.Linear) -> nn.Linear:
    """Return the head with weights that bfloat16 holds exactly."""
    return head.to(torch.bfloat16).float()
