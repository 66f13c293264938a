"""A model as the first module of a `SentenceTransformer`.

`modules.json` of an exported folder names this class, so neither it nor this file can be renamed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from llm2vec_gen_rag.arguments import as_texts, text_room
from llm2vec_gen_rag.backbone.facts import base_name
from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.encoder import (
    last_hidden_states,
    project,
    require_finite_states,
    tokens_of,
)
from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.model import LLM2VecGen, require_model

require_extra("sentence-transformers", "sentence_transformers")
from sentence_transformers.base.modules import InputModule  # noqa: E402

if TYPE_CHECKING:
    from typing import Self

BASE_FOLDER = "base"
# of `SentenceTransformer(..., model_kwargs=)`, what `LLM2VecGen.from_pretrained` takes
_LOADING_OPTIONS = (
    "base_model", "dtype", "device_map", "quantization_config", "attn_implementation",
)  # fmt: skip


class LLM2VecGenModule(InputModule):
    """Texts to embeddings, by the same computation as `LLM2VecGen.encode(normalize=False)`.

    The weights are frozen: this module embeds, and is not to be trained.

    Attributes:
        model: the model.
        max_seq_length: see `max_length` of `LLM2VecGen.encode`; may be set.
    """

    config_file_name = "llm2vec_gen_module.json"

    def __init__(self, model: LLM2VecGen, max_seq_length: int = 512) -> None:
        """Wrap a loaded model.

        Args:
            model: the model, which is shared, not copied.
            max_seq_length: see the class.

        Raises:
            ValueError: if it is no loaded model.
        """
        require_model(model)
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.max_seq_length = max_seq_length
        self.tokenizer = model.tokenizer
        # registered, so that `SentenceTransformer.to` finds all weights
        self.backbone = model.backbone
        self.response_tokens = model.response_tokens
        self.reconstruction, self.alignment = model.reconstruction, model.alignment
        updates = () if model.adapter is None else model.adapter.parameters()
        self.low_rank_updates = nn.ParameterList(updates)

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Tokenize texts; nothing in them is a special token.

        Args:
            inputs: strings.
            prompt: precedes each text, with no space added.
            **kwargs: unused; part of the protocol of sentence-transformers.

        Returns:
            "input_ids" and "attention_mask", (texts, longest), padded on the right. The response
            tokens are not among them.

        Raises:
            ValueError: if an input is no string.
        """
        room = text_room(self.max_seq_length, len(self.model.response_tokens), self.model.positions)
        texts = self.model.text_tokenizer.tokenize(
            as_texts(list(inputs)), prompt or "", max_tokens=room
        )
        rows = [torch.from_numpy(ids) for ids in texts.rows]
        return {
            "input_ids": nn.utils.rnn.pad_sequence(rows, batch_first=True),
            "attention_mask": nn.utils.rnn.pad_sequence(
                [torch.ones_like(row) for row in rows], batch_first=True
            ),
        }

    def forward(self, features: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        """Embed tokenized texts.

        Args:
            features: what `preprocess` returns.
            **kwargs: unused; part of the protocol of sentence-transformers.

        Returns:
            The features, with "sentence_embedding": (texts, dimension) float32, not normalised.

        Raises:
            NonFiniteError: if the LLM computes NaN or infinity.
        """
        lengths = features["attention_mask"].sum(dim=1).tolist()
        ids = features["input_ids"].tolist()
        rows = [row[:length] for row, length in zip(ids, lengths, strict=True)]
        with one_forward(self.model, tokens=tokens_of(self.model, rows)):
            states = require_finite_states(last_hidden_states(self.model, rows))
            features["sentence_embedding"] = project(self.model, states)
        return features

    def get_embedding_dimension(self) -> int:
        """Return the length of a vector."""
        return self.model.dimension

    def get_config_dict(self) -> dict[str, Any]:
        """Return what a saved folder holds beside the checkpoint."""
        return {"max_seq_length": self.max_seq_length}

    def save(
        self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any
    ) -> None:
        """Write the checkpoint, and the base model if it is not on the hub.

        Args:
            output_path: the folder.
            *args: unused; part of the protocol of sentence-transformers.
            safe_serialization: unused; weights are always stored as plain data.
            **kwargs: unused.
        """
        base = _copied_base(base_name(self.model.backbone), Path(output_path))
        self.model.save_pretrained(output_path, base_model=base)
        self.save_config(output_path)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load the module of an exported folder; `SentenceTransformer` calls this.

        Args:
            model_name_or_path: the folder, or a hub id.
            subfolder: unused: the checkpoint is at the root.
            token: for the hub.
            cache_folder: where downloads are kept.
            revision: branch, tag or commit on the hub.
            local_files_only: whether to stay off the network.
            init_defaults: unused: the folder states all settings.
            **kwargs: "model_kwargs" has options of `LLM2VecGen.from_pretrained`: base_model, dtype,
                device_map, quantization_config, attn_implementation. The rest is unused. In
                particular, `trust_remote_code`, which sentence-transformers asks for in order to
                import this class, lets no code of the base model run.

        Returns:
            The module, on the best device there is.

        Raises:
            ValueError: if "model_kwargs" has anything else.
        """
        model = LLM2VecGen.from_pretrained(
            model_name_or_path,
            token=token if isinstance(token, str) else None,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            **_loading_options(kwargs.get("model_kwargs") or {}),
        )
        config = cls.load_config(
            model_name_or_path,
            token=token,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
        )
        return cls(model, **config)


def _loading_options(model_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of loading, once each is known."""
    options = dict(model_kwargs)
    if "torch_dtype" in options:  # the former name, which both frameworks' users still pass
        options["dtype"] = options.pop("torch_dtype")
    if unknown := sorted(options.keys() - set(_LOADING_OPTIONS)):
        raise ValueError(
            f"model_kwargs has {', '.join(unknown)}; expected some of "
            f"{', '.join(_LOADING_OPTIONS)}. Leave the others out."
        )
    return options


def _copied_base(base_model: str, folder: Path) -> str:
    """Return where a folder finds its base model: a hub id, or a copy inside the folder."""
    source = Path(base_model)
    if not source.exists():
        return base_model
    target = folder / BASE_FOLDER
    if source.is_dir():
        shutil.copytree(source, target)
        return str(target)
    target.mkdir()
    return str(shutil.copy(source, target / source.name))
