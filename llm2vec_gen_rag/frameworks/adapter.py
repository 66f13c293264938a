"""The base class of both adapters: one model, and the instructions for queries and documents.

Only the adapters import this module: it needs pydantic, which either framework installs.
"""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from typing_extensions import Self

from llm2vec_gen_rag.arguments import BUNDLED_MODELS, model_name
from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.frameworks.query_vectors import MAX_LENGTH, known_vector, remember_given
from llm2vec_gen_rag.frameworks.worker_thread import run_on_worker

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

Side = Literal["query", "document"]

_LOADING_FIELDS = frozenset({"base_model", "revision", "dtype", "device"})


class FrameworkAdapter(BaseModel):
    """One embedding model and its settings. The constructor loads the model.

    A pickled copy holds the settings only and loads the model by its name when it embeds its first
    text. A quantization or device map given to `LLM2VecGen.from_pretrained` is not among them.

    Attributes:
        model: a loaded `LLM2VecGen`; None loads `model_name`.
        model_name: a hub id, a folder in the published format, or bundled: "almanac", "smollm2".
        base_model: the frozen LLM, if it is not where the checkpoint says: a hub id, a folder or
            a GGUF file.
        revision: the checkpoint's revision on the hub.
        dtype: such as "float32", or "int8" on a CPU; None picks the best for the device. It then
            holds the dtype that was picked.
        device: such as "cpu" or "cuda:0"; None picks the best one.
        task: which of the model's query instructions to use if `query_instruction` is None.
        query_instruction: prepended to every query without a separator ("" for none).
        document_instruction: prepended to every document without a separator ("" for none); None
            uses the model's.
        max_length: the limit on instruction, text and response tokens together, in tokens.
        normalize: whether to scale every vector to length 1.
        batch_size: the number of texts in a forward pass; None plans batches by their tokens.
        fingerprint: a hash of what decides the vectors, taken by the constructor; see
            `LLM2VecGen.fingerprint`. Loading saved settings with another model is an error.
    """

    # what is passed by mistake can be a token for the hub, which no message is to show
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    # Frozen: changed after loading, they would not describe the model in memory.
    model: Any = Field(default=None, exclude=True, frozen=True, repr=False)
    model_name: str = Field(default="", frozen=True)
    base_model: str | None = Field(default=None, frozen=True)
    revision: str | None = Field(default=None, frozen=True)
    dtype: str | None = Field(default=None, frozen=True)
    fingerprint: str = Field(default="", frozen=True)
    task: str = Field(default="retrieval", frozen=True)
    query_instruction: str | None = Field(default=None, frozen=True)
    document_instruction: str | None = Field(default=None, frozen=True)
    max_length: int = Field(default=512, gt=0)
    normalize: bool = True
    # Excluded from dumps: they do not affect the vectors, so they must not change a cache key.
    device: str | None = Field(default=None, exclude=True, frozen=True)
    batch_size: int | None = Field(default=None, exclude=True, gt=0)

    # Not pickled: a copy has the defaults of these fields.
    unpickled_fields: ClassVar[frozenset[str]] = frozenset({"model"})
    _loading: ForkSafeLock = PrivateAttr(default_factory=ForkSafeLock)

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_loading_options(cls, settings: Any) -> Any:
        """Say who takes the options of loading that are no settings here."""
        from llm2vec_gen_rag.model import LLM2VecGen

        # a dump has no place for them: a secret, an object, a folder of this machine's own
        options = signature(LLM2VecGen.from_pretrained).parameters.keys() - cls.model_fields.keys()
        found = sorted(options & settings.keys()) if isinstance(settings, dict) else []
        if found:
            names = ", ".join(f"{name}=..." for name in found)
            raise ValueError(
                f"got {', '.join(found)}, which a loaded model has and {cls.__name__} does not "
                f"take; pass model=LLM2VecGen.from_pretrained(..., {names}) in place of model_name"
            )
        return settings

    @field_validator("model_name", "base_model", mode="before")
    @classmethod
    def _folder_name(cls, value: Any) -> Any:
        """Accept a folder as a path."""
        return model_name(value) if isinstance(value, os.PathLike) else value

    @model_validator(mode="after")
    def _load_and_describe(self) -> Self:
        """Load the model if none was given, and fill in the fields that describe it."""
        from llm2vec_gen_rag.backbone.facts import base_name

        self._check_source()
        # Written to __dict__ because the fields are frozen.
        stated = self.__dict__
        if self.model is not None:
            self._check_fingerprint(self.model)
            stated["base_model"] = base_name(self.model.backbone)
        model = self.loaded_model()
        stated["model_name"] = model.name
        stated["revision"] = model.revision
        stated["dtype"] = str(model.dtype).removeprefix("torch.")
        stated["fingerprint"] = model.fingerprint
        if self.query_instruction is None:
            stated["query_instruction"] = model.prompts.for_query(self.task)
        if self.document_instruction is None:
            stated["document_instruction"] = model.prompts.document
        return self

    def _check_source(self) -> None:
        """Raise ValueError unless exactly one of `model` and `model_name` is given."""
        from llm2vec_gen_rag.model import LLM2VecGen

        if (self.model is None) == (not self.model_name):
            raise ValueError(
                f"got {'neither' if self.model is None else 'both'} of model and model_name; pass "
                "model_name='almanac' (or a hub id, or a folder), or model= a loaded LLM2VecGen"
            )
        if self.model is None:
            return
        if not isinstance(self.model, LLM2VecGen):
            raise ValueError(
                f"model is a {type(self.model).__name__}; expected a loaded LLM2VecGen. To load "
                "one by its name or folder, pass model_name="
            )
        unused = sorted(_LOADING_FIELDS & self.model_fields_set)
        if unused:
            raise ValueError(
                f"got {', '.join(unused)} beside model=, which is loaded already; pass them to "
                "LLM2VecGen.from_pretrained, or pass model_name= instead of model="
            )

    def loaded_model(self) -> LLM2VecGen:
        """Return the resident model; an unpickled copy loads it first.

        Returns:
            The model that every call of this adapter uses.

        Raises:
            CheckpointError: if the loaded weights do not match `fingerprint`.
        """
        from llm2vec_gen_rag.model import LLM2VecGen

        with self._loading:
            if self.model is None:
                model = LLM2VecGen.from_pretrained(
                    self.model_name,
                    base_model=self.base_model,
                    device=self.device,
                    dtype=self.dtype,
                    revision=self.revision,
                )
                self._check_fingerprint(model)
                self.__dict__["model"] = model
            return cast("LLM2VecGen", self.model)

    def _check_fingerprint(self, model: LLM2VecGen) -> None:
        """Raise CheckpointError if the settings were saved with other weights."""
        found = model.fingerprint
        if self.fingerprint not in ("", found):
            raise CheckpointError(
                f"{model.name} has the fingerprint {found}, but this configuration was saved with "
                f"{self.fingerprint}: the checkpoint, its tokenizer or its base model's config has "
                "changed. Restore it, or leave out fingerprint= and embed the documents again."
            )

    def instruction(self, side: Side) -> str:
        """Return the instruction for queries or for documents."""
        stated = self.query_instruction if side == "query" else self.document_instruction
        return cast("str", stated)  # the constructor has replaced None by the model's

    def _embed(self, side: Side, texts: list[str]) -> list[list[float]]:
        """Return one vector of Python floats per text, computed in one call of the model."""
        if (known := self._known(side, texts)) is not None:
            return [known]
        vectors = self.loaded_model().encode(
            texts,
            instruction=self.instruction(side),
            max_length=self.max_length,
            normalize=self.normalize,
            batch_size=self.batch_size,
        )
        found = cast("list[list[float]]", vectors.tolist())
        if side == "query":
            for text, vector in zip(texts, found, strict=True):
                remember_given(self.loaded_model(), self.instruction(side), text, vector)
        return found

    def _known(self, side: Side, texts: list[str]) -> list[float] | None:
        """Return the vector that a gate has read of a lone query, if it is what `_embed` gives."""
        is_query = side == "query" and len(texts) == 1
        if not is_query or not self.normalize or self.max_length != MAX_LENGTH:
            return None
        return known_vector(self.loaded_model(), self.instruction(side), texts[0])

    async def _aembed(self, side: Side, texts: list[str]) -> list[list[float]]:
        """Do what `_embed` does, off the event loop and after earlier calls."""
        if self.model is not None and (known := self._known(side, texts)) is not None:
            return [known]
        model = await asyncio.to_thread(self.loaded_model) if self.model is None else self.model
        return await run_on_worker(model, partial(self._embed, side, texts))

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[dict[str, Any]]]:
        """Pickle the settings only: a copy in another process loads its own model."""
        if not self._can_be_found_again():
            raise pickle.PicklingError(
                f"the model {self.model_name!r} is in memory only, so a copy could not load it; "
                "call save_pretrained(folder) and pass model_name=folder"
            )
        fields = type(self).model_fields.keys() - self.unpickled_fields
        return type(self)._from_settings, ({name: getattr(self, name) for name in fields},)

    def _can_be_found_again(self) -> bool:
        """Return whether the model can be loaded by its name: bundled, a hub id or a folder."""
        if self.revision is not None or self.model_name in BUNDLED_MODELS:  # a hub id has one
            return True
        return bool(self.model_name) and Path(self.model_name).is_dir()

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> Self:
        """Rebuild a pickled copy without the validator that loads the model."""
        return cls.model_construct(**settings)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the settings and share the model: weights and locks must not be duplicated."""
        return self.model_copy()
