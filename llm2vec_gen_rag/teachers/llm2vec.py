"""LLM2Vec encoders (arXiv 2404.05961), the teachers of the published checkpoints.

An LLM with bidirectional attention and two LoRA adapters in the PEFT format: one of masked next
token prediction (MNTP), merged into its weights, and one of unsupervised SimCSE on top. They are
published side by side, as `LLM2Vec-NAME-mntp` and `LLM2Vec-NAME-mntp-unsup-simcse`; the first names
the LLM. No code of theirs is run: the attention is transformers' own with another mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.device import parse_dtype, pick_device, pick_dtype
from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.backbone.facts import freeze
from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults
from llm2vec_gen_rag.checkpoint.tokenizer_files import load_tokenizer
from llm2vec_gen_rag.errors import BaseModelError, TeacherError, first_line, require_extra
from llm2vec_gen_rag.files import read_json
from llm2vec_gen_rag.teachers.mean_states import mean_states
from llm2vec_gen_rag.teachers.protocol import Vectors
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

if TYPE_CHECKING:
    from peft import PeftModel

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
POOLING_FILE = "llm2vec_config.json"
MNTP, SIMCSE = "-mntp", "-unsup-simcse"

_NAME_IT = (
    "Name the LLM that the adapter was trained on: teacher_base_model in a recipe, base_model= of "
    "LLM2VecTeacher.load"
)
_FILES = ["*.json", "*.jinja", "*.txt", "*.model", WEIGHTS_FILE]


class LLM2VecTeacher:
    """A published LLM2Vec encoder: the mean of its states over the tokens of a text.

    It embeds the text alone, as in the training of the published checkpoints: no instruction, no
    chat template. A BOS is read and not averaged, as in llm2vec.

    Attributes:
        name: what is recorded beside the vectors.
        dimension: length of a vector, the LLM's hidden size.
    """

    def __init__(
        self, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str
    ) -> None:
        """Use an LLM that has its adapters; `load` reads one."""
        self.name = name
        self.dimension = int(encoder.config.hidden_size)
        self._encoder = encoder
        self._tokenizer = TextTokenizer(tokenizer)

    @classmethod
    @torch_defaults()
    def load(
        cls,
        name: str,
        *,
        base_model: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> LLM2VecTeacher:
        """Load an LLM, merge its MNTP adapter, and put its SimCSE adapter on top.

        Args:
            name: hub id or folder of the SimCSE adapter, such as
                "McGill-NLP/LLM2Vec-Qwen3-06B-mntp-unsup-simcse". The MNTP adapter, with the
                tokenizer, is found under the same name without "-unsup-simcse".
            base_model: hub id or folder of the LLM; None loads the one the MNTP adapter names.
            device: where to run; None picks the best available.
            dtype: to compute in; None picks as `LLM2VecGen.from_pretrained` does.

        Returns:
            The teacher.

        Raises:
            MissingExtraError: if PEFT is not installed.
            TeacherError: if an adapter is missing or unreadable, does not fit the LLM, or pools
                otherwise than by the mean.
            BaseModelError: if the LLM cannot be loaded.
            CheckpointError: if the tokenizer or a config cannot be read.
        """
        require_extra("train", "peft")
        name = name.rstrip("/")
        if not name.endswith(MNTP + SIMCSE):
            raise TeacherError(
                f"{name!r} is not the name of an unsupervised LLM2Vec encoder; expected a hub id "
                f"or a folder that ends in {MNTP + SIMCSE}, beside its MNTP adapter, whose name is "
                f"the same without {SIMCSE}"
            )
        simcse, mntp = (_adapter_folder(part) for part in (name, name.removesuffix(SIMCSE)))
        _require_mean_pooling(simcse)
        base = base_model or _stated_base(mntp)
        merged: Any = _with_adapter(_load_llm(base, device, dtype), mntp).merge_and_unload()
        encoder: Any = _with_adapter(merged, simcse).get_base_model()  # PEFT has wrapped its layers
        freeze(encoder)
        return cls(encoder, load_tokenizer(mntp), name=name)

    @property
    def fingerprint(self) -> str:
        """A hash of the weights, adapters included."""
        return weights_digest(self._encoder)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension); see `mean_states`."""
        return mean_states(self._encoder, self._tokenizer, texts, bidirectional=True)


def _adapter_folder(name: str) -> Path:
    """Return the folder of an adapter, downloaded if necessary."""
    if Path(name).is_dir():
        folder = Path(name)
    else:
        try:
            folder = Path(snapshot_download(name, allow_patterns=_FILES))
        except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
            raise TeacherError(
                f"the LLM2Vec adapter {name!r} is neither a folder here nor a repository that "
                f"can be downloaded ({first_line(error)}); expected a PEFT adapter, such as "
                "'McGill-NLP/LLM2Vec-Qwen3-06B-mntp'"
            ) from error
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise TeacherError(
                f"{folder / file} is missing; expected an adapter as PEFT saves it, with "
                f"{CONFIG_FILE} and {WEIGHTS_FILE}. Download it again."
            )
    return folder


def _require_mean_pooling(folder: Path) -> None:
    """Refuse an encoder with another pooling than the mean."""
    if (folder / POOLING_FILE).is_file():
        pooling = read_json(folder / POOLING_FILE).get("pooling_mode", "mean")
        if pooling != "mean":
            raise TeacherError(
                f"{folder / POOLING_FILE} asks for pooling {pooling!r}; supported is 'mean'. Use "
                "another encoder."
            )


def _stated_base(mntp: Path) -> str:
    """Return the LLM that the MNTP adapter was trained on."""
    stated = read_json(mntp / CONFIG_FILE).get("base_model_name_or_path")
    if not isinstance(stated, str) or not stated:
        raise TeacherError(
            f"base_model_name_or_path in {mntp / CONFIG_FILE} is {stated!r}; expected the LLM "
            f"under the adapter. {_NAME_IT}."
        )
    return stated


def _load_llm(
    name: str, device: str | torch.device | None, dtype: str | torch.dtype | None
) -> nn.Module:
    """Return the LLM without its output layer, which is what the adapters were trained on."""
    picked = pick_device(device)
    stated = None if dtype is None else parse_dtype(dtype)  # in int8 no adapter could be merged
    try:
        llm = load_backbone(name, picked, pick_dtype(stated, picked, None), BackboneOptions())
    except BaseModelError as error:
        raise BaseModelError(
            f"the LLM under the LLM2Vec adapters, {name!r}, cannot be loaded. {_NAME_IT}, as a hub "
            f"id or a folder that has it. {error}"
        ) from error
    return llm.base_model


def _with_adapter(llm: nn.Module, folder: Path) -> PeftModel:
    """Return the LLM with an adapter on it; refuse tensors that do not match, where PEFT warns."""
    from peft import PeftConfig, PeftModel

    try:
        adapted = PeftModel(llm, PeftConfig.from_pretrained(str(folder)))
        report = adapted.load_adapter(str(folder), "default")
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise TeacherError(
            f"the adapter in {folder} cannot be put on the LLM ({first_line(error)}); it may be "
            f"half-written, or of another LLM. Download it again, or: {_NAME_IT}."
        ) from error
    astray = [*report.missing_keys, *report.unexpected_keys]
    if astray:
        raise TeacherError(
            f"the adapter in {folder} and the LLM do not match: {len(astray)} tensors, such as "
            f"{astray[0]!r}, are in one and not in the other. {_NAME_IT}."
        )
    return adapted
