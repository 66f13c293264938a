"""LLM2VecGen: a frozen LLM with response tokens, which embeds what the LLM would answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import overload

import torch

from llm2vec_gen_rag import decoder
from llm2vec_gen_rag.answering.model import AnsweringModel
from llm2vec_gen_rag.arguments import (
    folder_path,
    model_name,
    require_positive,
)
from llm2vec_gen_rag.backbone.facts import embedding_weight, end_token_ids
from llm2vec_gen_rag.backbone.int8 import has_int8_layers
from llm2vec_gen_rag.backbone.settings import forward_settings
from llm2vec_gen_rag.checkpoint.adapter import AdapterWeights
from llm2vec_gen_rag.checkpoint.format import write_checkpoint
from llm2vec_gen_rag.checkpoint.tokenizer_hashes import tokenizer_hashes
from llm2vec_gen_rag.vectors.text_encoder import TextEncoder, Texts


class LLM2VecGen(TextEncoder, AnsweringModel):
    """A frozen LLM and its response tokens; safe to use from several threads.

    `from_pretrained` loads one; `initialise` makes a fresh one, to be trained. How it embeds is in
    `TextEncoder`: `encode`, `encode_query`, `encode_document`, `encode_with_lengths`, `similarity`.

    Attributes:
        name: what it was loaded as.
        revision: the commit of its hub repository; None for a folder.
        backbone: the one resident causal LM. It embeds, decodes and answers, unchanged;
            see also `stream` and `stream_chat`.
        tokenizer: the checkpoint's, in which the response tokens are added tokens.
        text_tokenizer: reads users' texts, in which nothing is a special token.
        response_tokens: (N, hidden) float32, the embeddings appended to every text.
        compression_tokens: K, how many of the last states make the embedding.
        reconstruction: hidden -> hidden, float32: state -> soft prompt.
        alignment: hidden -> dimension, float32: soft prompt -> embedding.
        adapter: the low-rank updates of a LoRA checkpoint, on only while embedding; else None.
        prompts: the instructions of `encode_query` and `encode_document`.
        positions: the most tokens that an LLM with a table of positions can read, such as GPT-2 or
            OPT; None if there is no such limit, as with rotary positions.
        lock: held during every forward.
    """

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
        """A hash of what decides a vector, the LLM's weights aside: equal where they compare.

        It is computed at each use, of `trained_digest`, the ids that the tokenizer gives to many
        texts, and the config's settings that are on. The base model's weights are not read:
        response tokens are useless on another one. Of some mixtures of experts, transformers 4 and
        5 state different settings.
        """
        hashes = tokenizer_hashes(self.text_tokenizer)
        settings = forward_settings(self.backbone)
        read = {name: hashes[name] for name in ("vocabulary", "ids")}
        stated = {name: value for name, value in settings.items() if value != "null"}
        parts = [self.trained_digest, json.dumps([read, stated], sort_keys=True)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

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
        """Decode the embedding of each text: write what the LLM says, given its soft prompts only.

        Greedy, so the same text gives the same output each time. The LLM sees the soft prompts, not
        the text, and a LoRA adapter is off.

        Args:
            texts: see `encode`.
            instruction: see `encode`.
            max_new_tokens: the most tokens to write for each, as far as `positions` go.
            max_length: see `encode`.

        Returns:
            A string for a string, a list for a list, in its order.

        Raises:
            ValueError: see `encode`.
            NonFiniteError: see `encode`.
        """
        require_positive("max_new_tokens", max_new_tokens)
        tokenized, _ = self._tokenized(texts, instruction, max_length)
        if self.positions is not None:
            max_new_tokens = min(max_new_tokens, self.positions - self.compression_tokens)
        written = decoder.decode_ids(self, tokenized.rows, max_new_tokens=max_new_tokens)
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
        """Write the LLM's own answer to each text, greedily: what `decode` should come close to.

        The text is put into the tokenizer's chat template, with thinking off; without a template,
        the LLM continues the text. Response tokens and LoRA are not used.

        Args:
            texts: see `encode`.
            instruction: see `encode`.
            max_new_tokens: the most tokens to write for each; no more than half of `positions`.
            max_length: tokens of instruction and text; a longer text is cut at its end.

        Returns:
            A string for a string, a list for a list, in its order.

        Raises:
            ValueError: see `encode`.
            NonFiniteError: see `encode`.
        """
        prompts, max_new_tokens = self._answer_prompts(
            texts, instruction, max_length, max_new_tokens
        )
        written = decoder.answer_ids(self, prompts, max_new_tokens=max_new_tokens)
        return self._read(texts, written)

    def save_pretrained(
        self, folder: str | PathLike[str], *, base_model: str | PathLike[str] | None = None
    ) -> None:
        """Write the checkpoint in the published format; the base model is recorded, not copied.

        A base model inside the folder is recorded by its relative path, so the folder can move.

        Args:
            folder: where to; created if it does not exist. A leading ~ is the home folder.
            base_model: where the base model will be found: a hub id, a folder or a GGUF file; None
                records where it was loaded from.

        Raises:
            ValueError: if one of them is empty, or no path.
            CheckpointError: if a file to be copied from where this model was loaded is gone.
            StorageError: if it cannot be written, as on a full disk; a checkpoint that was in the
                folder is whole.
        """
        target = folder_path(folder)
        updates = {} if self.adapter is None else self.adapter.updates
        checkpoint = replace(
            self._checkpoint,
            adapter=AdapterWeights(self.response_tokens.detach().cpu(), updates),
            compression_tokens=self.compression_tokens,
            reconstruction=self.reconstruction,
            alignment=self.alignment,
            prompts=self.prompts,
        )
        base = self._base_model if base_model is None else model_name(base_model)
        write_checkpoint(target, checkpoint, base)

    def _read(self, texts: Texts, written: Sequence[Sequence[int]]) -> str | list[str]:
        """Return what was written as text: a string for a string."""
        read = decoder.read_ids(self.tokenizer, written, end_token_ids(self.backbone))
        return read[0] if isinstance(texts, str) else read


def require_model(model: object) -> None:
    """Raise ValueError unless it is a loaded model, such as for a model's name or an adapter."""
    if not isinstance(model, LLM2VecGen):
        raise ValueError(
            f"model is {model!r:.80} ({type(model).__name__}); expected a loaded LLM2VecGen. To "
            "load one by its name, call LLM2VecGen.from_pretrained(...); that of an adapter is its "
            "`model`."
        )
