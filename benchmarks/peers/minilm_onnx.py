"""all-MiniLM-L6-v2 as the ONNX file that fastembed reads, whose own is on the hub alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
READ_TOO = ("config.json", "tokenizer.json", "special_tokens_map.json")


class _States(nn.Module):
    """A BERT whose output is its last hidden states alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        read = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
        states: Tensor = self.bert(input_ids, **read).last_hidden_state
        return states


def export(source: Path, target: Path) -> None:
    """Write the sentence-transformers model of a folder to another, cutting texts where it does."""
    shutil.rmtree(target, ignore_errors=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.mkdir(exist_ok=True)
    for name in READ_TOO:
        shutil.copy(source / name, unfinished)
    settings = json.loads((source / "tokenizer_config.json").read_text())
    limit = json.loads((source / "sentence_bert_config.json").read_text())["max_seq_length"]
    (unfinished / "tokenizer_config.json").write_text(
        json.dumps({**settings, "model_max_length": limit})
    )
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=limit)}
    torch.onnx.export(
        _States(source).eval(),
        tuple(torch.ones(2, 16, dtype=torch.long) for _ in INPUTS),
        unfinished / "model.onnx",
        input_names=INPUTS,
        output_names=["last_hidden_state"],
        dynamic_shapes=dict.fromkeys(INPUTS, sizes),
        external_data=False,
    )
    unfinished.rename(target)
