"""Write trained response tokens as the package ships them: small, and with no path of a machine.

The published format, in which the base model is named as on the hub, whatever file it was trained
on: `llm2vec_gen_rag.smollm2.find_llm` says where it is. Neither logs nor plots are with it.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from llm2vec_gen_rag.backbone.lora import LowRankUpdate
from llm2vec_gen_rag.checkpoint.format import Checkpoint, read_checkpoint, write_checkpoint
from llm2vec_gen_rag.files import read_json, storing, write_text
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.smollm2 import HUB_ID

STORED = torch.bfloat16  # the adapter: half of float32, and what the LLM computes in


def write_bundled(model: LLM2VecGen, folder: Path) -> None:
    """Write a trained model as it is shipped.

    The response tokens and low-rank updates are rounded to bfloat16; the heads are kept as they
    are. `tokenizer.json` has no white space, which is half of what it is otherwise.

    Args:
        model: the trained model; it is left as it is.
        folder: where to; created if it does not exist.

    Raises:
        StorageError: if it cannot be written.
    """
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        write_checkpoint(folder, _as_shipped(read_checkpoint(Path(saved))), HUB_ID)
    path = folder / "tokenizer.json"
    content = json.dumps(read_json(path), ensure_ascii=False, separators=(",", ":"))
    with storing(f"the checkpoint {folder}", "the file that was there is whole"):
        write_text(path, content)


def _as_shipped(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with a small adapter, and the hub's name wherever the LLM is named."""
    layout, adapter = checkpoint.adapter_layout, checkpoint.adapter
    updates = {path: _rounded_update(update) for path, update in adapter.updates.items()}
    return replace(
        checkpoint,
        run_config={**checkpoint.run_config, "torch_dtype": "bfloat16"},
        encoder_config={**checkpoint.encoder_config, "_name_or_path": HUB_ID},
        adapter_layout=replace(layout, dtypes=dict.fromkeys(layout.dtypes, STORED)),
        adapter=replace(
            adapter, response_tokens=_rounded(adapter.response_tokens), updates=updates
        ),
    )


def _rounded_update(update: LowRankUpdate) -> LowRankUpdate:
    down, up = (nn.Parameter(_rounded(p), requires_grad=False) for p in (update.down, update.up))
    return replace(update, down=down, up=up)


def _rounded(tensor: Tensor) -> Tensor:
    """Return float32 values that bfloat16 holds exactly."""
    return tensor.detach().to(STORED).float()
