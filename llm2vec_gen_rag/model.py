"""LLM2VecGen: a frozen LLM with response tokens, which embeds what the LLM would answer."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, overload

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag import decoder, encoder
from llm2vec_gen_rag.arguments import as_texts, require_positive, require_room, require_string
from llm2vec_gen_rag.backbone.facts import base_name, embedding_weight, end_token_ids, freeze
from llm2vec_gen_rag.backbone.int8 import has_int8_layers
from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone, pick_device, pick_dtype
from llm2vec_gen_rag.backbone.lora import LowRankAdapter
from llm2vec_gen_rag.checkpoint.adapter import AdapterWeights
from llm2vec_gen_rag.checkpoint.format import (
    Checkpoint,
    read_checkpoint,
    require_fit,
    write_checkpoint,
)
from llm2vec_gen_rag.checkpoint.fresh import new_checkpoint
from llm2vec_gen_rag.checkpoint.location import find_base_model, find_checkpoint
from llm2vec_gen_rag.cpu.prefix_cache import PrefixCache
from llm2vec_gen_rag.encoder import Vectors
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, TokenizedTexts, answer_prompts

Texts = str | Sequence[str]


class LLM2VecGen:
    """A frozen LLM and its response tokens; safe to use from several threads.

    Attributes:
        name: what it was loaded as.
        revision: the commit of its hub repository; None for a folder.
        backbone: the one resident causal LM. It embeds, decodes and answers, unchanged.
        tokenizer: the checkpoint's, in which the response tokens are added tokens.
        text_tokenizer: reads users' texts, in which nothing is a special token.
        response_tokens: (N, hidden) float32, the embeddings appended to every text.
        compression_tokens: K, how many of the last states make the embedding.
        reconstruction: hidden -> hidden, float32: state -> soft prompt.
        alignment: hidden -> dimension, float32: soft prompt -> embedding.
        adapter: the low-rank updates of a LoRA checkpoint, on only while embedding; else None.
        prompts: the instructions of `encode_query` and `encode_document`.
        lock: held during every forward.
    """

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
            name: see the attribute.
            base_model: where the LLM is found again: a hub id or a folder.
            revision: see the attribute.

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
        self.lock = threading.RLock()
        self._checkpoint = checkpoint
        self._base_model = base_model

    @classmethod
    def from_pretrained(
        cls,
        name: str | PathLike[str],
        *,
        base_model: str | PathLike[str] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        revision: str | None = None,
        device_map: str | dict[str, Any] | None = None,
        quantization_config: Any | None = None,
        attn_implementation: str | None = None,
        trust_remote_code: bool = False,
        token: str | None = None,
        cache_folder: str | None = None,
        local_files_only: bool = False,
    ) -> LLM2VecGen:
        """Load a checkpoint and the frozen LLM that it belongs to.

        Args:
            name: a hub id, a folder in the published format, or "almanac" (bundled, offline).
            base_model: the frozen LLM, when it is not where the checkpoint says: a hub id or a
                folder.
            device: where to compute; None picks CUDA, else MPS, else the CPU.
            dtype: of the LLM: "float32", "bfloat16" or "float16". None picks what the checkpoint
                states on an accelerator; on a CPU, bfloat16 if it multiplies that natively, else
                float32. "int8", on a CPU alone: the LLM's layers multiply in 8 bits, weights and
                inputs, and all else is in what None picks; for embedding, faster at a cosine of
                0.99 and more, and smaller once it is loaded. Pooling and projections are float32
                in any case.
            revision: branch, tag or commit of the checkpoint on the hub.
            device_map: which layer of the LLM goes where (needs accelerate); replaces `device`.
            quantization_config: a `transformers` quantization config for the LLM.
            attn_implementation: how the LLM computes attention, such as "eager"; the default is
                "sdpa", in whose place a CPU embeds with what is faster there for the dtype.
            trust_remote_code: whether code from the repositories may run.
            token: for the hub.
            cache_folder: where downloads are kept.
            local_files_only: whether to stay off the network.

        Raises:
            CheckpointError: if the checkpoint cannot be found or is not whole and sound.
            BaseModelError: if the frozen LLM cannot be loaded.
            ValueError: if the device or dtype is unknown or not available, or int8 is asked for
                beside a `device_map` or `quantization_config`.
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
        pick_dtype(dtype, picked_device, None)  # a misspelt dtype is named before any reading
        found = find_checkpoint(str(name), revision, options)
        checkpoint = read_checkpoint(found.folder, trust_remote_code=trust_remote_code)
        stated = checkpoint.run_config.get("model_name_or_path")
        base = find_base_model(found.folder, stated) if base_model is None else str(base_model)
        picked_dtype = pick_dtype(dtype, picked_device, checkpoint.stated_dtype)
        backbone = load_backbone(base, picked_device, picked_dtype, options)
        return cls(checkpoint, backbone, name=str(name), base_model=base, revision=found.revision)

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self.alignment.out_features

    @property
    def device(self) -> torch.device:
        """Where texts enter the LLM."""
        return self.response_tokens.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which the LLM multiplies: int8, or that of all its weights."""
        if has_int8_layers(self.backbone):
            return torch.int8
        return embedding_weight(self.backbone).dtype

    @property
    def fingerprint(self) -> str:
        """A hash of the response tokens, heads and settings: equal where vectors are comparable.

        Computed anew at each use, as training changes what it stands for. The base model's weights
        are not read: response tokens are worth nothing on another one.
        """
        updates = {} if self.adapter is None else self.adapter.updates
        digest = hashlib.sha256(f"K={self.compression_tokens}".encode())
        tensors = [self.response_tokens, *self.reconstruction.parameters()]
        tensors += self.alignment.parameters()
        for path, update in sorted(updates.items()):
            digest.update(f"{path}*{update.scaling}".encode())
            tensors += [update.down, update.up]
        for tensor in tensors:
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def encode(
        self,
        texts: Texts,
        *,
        instruction: str = "",
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each text: of the answer that the LLM would give to it.

        Args:
            texts: a string or a list of strings, taken as they are: no markup is looked for, and
                no character is changed, except that lone surrogates, which stand for no character,
                are read as U+FFFD.
            instruction: put before each text as it stands, with no space added.
            max_length: tokens of instruction, text and response tokens together; a longer text
                keeps its beginning.
            normalize: whether to scale each vector to length 1.
            batch_size: texts in one forward; None plans the batches by their tokens. It changes
                speed and memory, not the vectors.
            show_progress: whether to show a progress bar on standard error.

        Returns:
            float32: (dimension,) for a string, (texts, dimension) for a list, in its order.

        Raises:
            ValueError: if an argument is not as described, or `max_length` leaves no room for text.
            NonFiniteError: if the LLM computes NaN or infinity.
        """
        if batch_size is not None:
            require_positive("batch_size", batch_size)
        vectors = encoder.embed(
            self,
            self._tokenized(texts, instruction, max_length),
            normalize=normalize,
            batch_size=batch_size,
            show_progress=show_progress,
        )
        return vectors[0] if isinstance(texts, str) else vectors

    def encode_query(
        self,
        texts: Texts,
        task: str = "retrieval",
        *,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each query, behind the instruction of its task.

        Args:
            texts: see `encode`.
            task: a name in `prompts.query`.
            max_length: see `encode`.
            normalize: see `encode`.
            batch_size: see `encode`.
            show_progress: see `encode`.

        Raises:
            ValueError: if the task is unknown; see also `encode`.
        """
        return self.encode(
            texts,
            instruction=self.prompts.for_query(task),
            max_length=max_length,
            normalize=normalize,
            batch_size=batch_size,
            show_progress=show_progress,
        )

    def encode_document(
        self,
        texts: Texts,
        *,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each document, behind the instruction of documents.

        See `encode` for arguments, shapes and errors.
        """
        return self.encode(
            texts,
            instruction=self.prompts.document,
            max_length=max_length,
            normalize=normalize,
            batch_size=batch_size,
            show_progress=show_progress,
        )

    @overload
    def decode(  # type: ignore[overload-overlap]
        self, texts: str, *, instruction: str = "", max_new_tokens: int = 64, max_length: int = 512
    ) -> str: ...

    @overload
    def decode(
        self,
        texts: Sequence[str],
        *,
        instruction: str = "",
        max_new_tokens: int = 64,
        max_length: int = 512,
    ) -> list[str]: ...

    def decode(
        self,
        texts: Texts,
        *,
        instruction: str = "",
        max_new_tokens: int = 64,
        max_length: int = 512,
    ) -> str | list[str]:
        """Return what the embedding of each text says: what the LLM writes behind its soft prompts.

        Greedy, so the same text says the same each time. The LLM sees the soft prompts alone, not
        the text, and a LoRA adapter is off.

        Args:
            texts: see `encode`.
            instruction: see `encode`.
            max_new_tokens: the most tokens to write for each.
            max_length: see `encode`.

        Raises:
            ValueError: see `encode`.
            NonFiniteError: see `encode`.
        """
        require_positive("max_new_tokens", max_new_tokens)
        rows = self._tokenized(texts, instruction, max_length).rows
        written = decoder.decode_ids(self, rows, max_new_tokens=max_new_tokens)
        return self._read(texts, written)

    @overload
    def answer(  # type: ignore[overload-overlap]
        self, texts: str, *, instruction: str = "", max_new_tokens: int = 64, max_length: int = 512
    ) -> str: ...

    @overload
    def answer(
        self,
        texts: Sequence[str],
        *,
        instruction: str = "",
        max_new_tokens: int = 64,
        max_length: int = 512,
    ) -> list[str]: ...

    def answer(
        self,
        texts: Texts,
        *,
        instruction: str = "",
        max_new_tokens: int = 64,
        max_length: int = 512,
    ) -> str | list[str]:
        """Return the LLM's own answer to each text, greedy: what `decode` should come close to.

        A tokenizer with a chat template frames the text with it, thinking switched off; without
        one, the LLM continues the text. Response tokens and LoRA play no part.

        Args:
            texts: see `encode`.
            instruction: see `encode`.
            max_new_tokens: the most tokens to write for each.
            max_length: tokens of instruction and text; a longer text keeps its beginning.

        Raises:
            ValueError: see `encode`.
        """
        require_positive("max_new_tokens", max_new_tokens)
        require_positive("max_length", max_length)
        require_string("instruction", instruction)
        prompts = answer_prompts(
            self.tokenizer,
            self.text_tokenizer,
            [f"{instruction}{text}" for text in as_texts(texts)],
            max_length=max_length,
        )
        written = decoder.answer_ids(self, prompts, max_new_tokens=max_new_tokens)
        return self._read(texts, written)

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write the checkpoint in the published format; the base model is named, not copied.

        A base model inside the folder is named by its relative path, so that the folder can move.

        Args:
            folder: where to; made if need be.

        Raises:
            CheckpointError: if a file to be copied from where this model was loaded is gone.
        """
        updates = {} if self.adapter is None else self.adapter.updates
        checkpoint = replace(
            self._checkpoint,
            adapter=AdapterWeights(self.response_tokens.detach().cpu(), updates),
            compression_tokens=self.compression_tokens,
            reconstruction=self.reconstruction,
            alignment=self.alignment,
            prompts=self.prompts,
        )
        write_checkpoint(Path(folder), checkpoint, self._base_model)

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
    ) -> LLM2VecGen:
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
            lora_rank: rank of low-rank updates, on while embedding alone; 0 makes none.
            lora_alpha: the updates are scaled by lora_alpha / lora_rank.
            name: what to call the model.

        Raises:
            ValueError: if a number is not positive, K exceeds N, the tokenizer has response tokens
                already, or the LLM has no layer that LoRA updates.
        """
        kept = response_tokens if compression_tokens is None else compression_tokens
        checkpoint = new_checkpoint(
            backbone,
            tokenizer,
            response_tokens=response_tokens,
            compression_tokens=kept,
            dimension=dimension,
            initial_text=initial_text,
            seed=seed,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
        )
        freeze(backbone)
        return cls(checkpoint, backbone, name=name, base_model=base_name(backbone))

    def _tokenized(self, texts: Texts, instruction: str, max_length: int) -> TokenizedTexts:
        """Return the ids of each text after the instruction, cut to leave room."""
        require_string("instruction", instruction)
        response_tokens = len(self.response_tokens)
        require_room(max_length, response_tokens)
        return self.text_tokenizer.tokenize(
            as_texts(texts), instruction, max_tokens=max_length - response_tokens
        )

    def _read(self, texts: Texts, written: Sequence[Sequence[int]]) -> str | list[str]:
        """Return what was written as text: a string for a string."""
        read = decoder.read_ids(self.tokenizer, written, end_token_ids(self.backbone))
        return read[0] if isinstance(texts, str) else read
