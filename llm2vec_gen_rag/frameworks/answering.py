"""The base class of both frameworks' chat models: one loaded model, and how it answers.

Only those modules import this one: it needs pydantic, which either framework installs.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from typing_extensions import Self

from llm2vec_gen_rag.answering.messages import Message
from llm2vec_gen_rag.frameworks.worker_thread import run_on_worker

if TYPE_CHECKING:
    from llm2vec_gen_rag.answering.stream import AnswerStream
    from llm2vec_gen_rag.model import LLM2VecGen

_SHORT_NAMES = {"max_tokens": "max_new_tokens"}
_OPTIONS = ("max_new_tokens", "temperature", "top_p", "seed", "stop")


class AnsweringAdapter(BaseModel):
    """The LLM of one loaded model, and its settings.

    Attributes:
        model: a loaded `LLM2VecGen`, which the embedding class can share.
        max_new_tokens: the most tokens to write; `max_tokens` means the same.
        temperature: divides the logits before a token is drawn; 0 takes the most likely token.
        top_p: draw among the most likely tokens that have this probability together.
        seed: of the random numbers; None draws other ones each time.
        stop: strings that end an answer; neither they nor what follows is shown.
        timeout: seconds that an answer may take, its reader's time included; None sets no limit.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    model: Any = Field(exclude=True, frozen=True, repr=False)
    max_new_tokens: int = Field(
        default=256, gt=0, validation_alias=AliasChoices("max_new_tokens", "max_tokens")
    )
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: list[str] | None = None
    timeout: float | None = Field(default=None, gt=0)

    @field_validator("model")
    @classmethod
    def _require_loaded(cls, model: Any) -> Any:
        """Refuse a name: a second copy of the weights is what this class is to avoid."""
        from llm2vec_gen_rag.model import LLM2VecGen

        if not isinstance(model, LLM2VecGen):
            raise ValueError(
                f"model is a {type(model).__name__}; expected a loaded LLM2VecGen, as "
                "LLM2VecGen.from_pretrained gives it"
            )
        return model

    @field_validator("stop")
    @classmethod
    def _require_words(cls, stop: list[str] | None) -> list[str] | None:
        """Refuse an empty stop word, which every text holds."""
        if stop is not None and "" in stop:
            raise ValueError("stop has an empty string; expected strings that are not empty")
        return stop

    def _answer(self, messages: Sequence[Message], options: dict[str, Any]) -> AnswerStream:
        """Begin an answer.

        Args:
            messages: the conversation.
            options: of this call, in place of the settings; None stands for the setting.

        Raises:
            ValueError: if an option is unknown or out of its range, or the model refuses the
                conversation.
        """
        from llm2vec_gen_rag.answering.sampling import Sampling

        told = {_SHORT_NAMES.get(name, name): value for name, value in options.items()}
        unknown = sorted(told.keys() - set(_OPTIONS))
        if unknown:
            raise ValueError(
                f"got {', '.join(unknown)}, which the LLM does not take; expected some of "
                f"{', '.join(_OPTIONS)}"
            )
        settings = {name: getattr(self, name) for name in _OPTIONS}
        settings |= {name: value for name, value in told.items() if value is not None}
        return self._resident().stream_chat(
            messages,
            max_new_tokens=settings["max_new_tokens"],
            stop=settings["stop"] or (),
            sampling=Sampling(settings["temperature"], settings["top_p"], settings["seed"]),
        )

    def _pieces(self, stream: AnswerStream) -> Iterator[str]:
        """Yield the pieces of an answer; close it at its end and when left early."""
        begun = time.monotonic()
        with stream:
            while (piece := stream.advance()) is not None:
                if piece:
                    yield piece
                self._require_time(stream, begun)

    async def _apieces(self, stream: AnswerStream) -> AsyncIterator[str]:
        """Do what `_pieces` does, each token off the event loop and after earlier calls."""
        begun = time.monotonic()
        with stream:
            while (piece := await run_on_worker(self._resident(), stream.advance)) is not None:
                if piece:
                    yield piece
                self._require_time(stream, begun)

    async def _aanswer(self, messages: Sequence[Message], options: dict[str, Any]) -> AnswerStream:
        """Do what `_answer` does, off the event loop."""
        return await run_on_worker(self._resident(), partial(self._answer, messages, options))

    def _require_time(self, stream: AnswerStream, begun: float) -> None:
        """Raise TimeoutError if an unfinished answer has taken too long."""
        if self.timeout is None or stream.finish_reason is not None:
            return
        if time.monotonic() - begun > self.timeout:
            raise TimeoutError(
                f"the answer took more than timeout={self.timeout} seconds, in which "
                f"{stream.written_tokens} tokens were written; pass a longer timeout or a smaller "
                "max_new_tokens"
            )

    def _resident(self) -> LLM2VecGen:
        """Return the model."""
        return cast("LLM2VecGen", self.model)

    def _settings(self) -> dict[str, Any]:
        """Return what decides an answer, for a framework's cache and its traces."""
        from llm2vec_gen_rag.backbone.facts import base_name

        model = self._resident()
        return {
            "model_name": model.name,
            "revision": model.revision,
            "base_model": base_name(model.backbone),
            "dtype": str(model.dtype).removeprefix("torch."),
            **{name: getattr(self, name) for name in _OPTIONS},
        }

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Any, ...]]:
        """Refuse to pickle the weights."""
        raise pickle.PicklingError(
            f"{type(self).__name__} holds a loaded model, which is not copied to another process; "
            "load the model there with LLM2VecGen.from_pretrained and pass model="
        )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the settings and share the model."""
        return self.model_copy()
