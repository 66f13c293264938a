"""`RefusalGate`: refuses a query by the embedding that a search computes anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from llm2vec_gen_rag import almanac, smollm2
from llm2vec_gen_rag.arguments import as_texts, folder_path, require_string
from llm2vec_gen_rag.errors import GateError
from llm2vec_gen_rag.safety.gate_files import SavedGate, read_gate, write_gate
from llm2vec_gen_rag.safety.linear_score import (
    Calibration,
    LinearScore,
    Vectors,
    fit_score,
    require_enough,
    require_rate,
)

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

SHIPPED = (almanac.MODEL_FOLDER / "gate", smollm2.FOLDER / "gate")
HOW_TO_CALIBRATE = (
    "calibrate one with prompts of your own: RefusalGate.calibrate(model, harmful=[...], "
    "benign=[...]), or llm2vec-gen-rag gate calibrate --model NAME --harmful FILE --benign FILE "
    "--output FOLDER"
)


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a query.

    Attributes:
        refused: whether the score is above the threshold, and the query is not blank.
        score: the log-odds that the query is to be refused.
        threshold: the gate's.
        vector: (dimension,) the query's embedding, which a search can take: see
            `DocumentCollection.search`.
    """

    refused: bool
    score: float
    threshold: float
    vector: Vectors = field(repr=False, compare=False)
    _decode: Callable[[], str] = field(repr=False, compare=False)

    @cached_property
    def says(self) -> str:
        """The embedding in words: see `LLM2VecGen.decode`. Written when first asked for."""
        return self._decode()


class RefusalGate:
    """A score of a model's query embeddings, and the threshold above which a query is refused.

    It reads queries only. What is written in documents, such as an injected instruction, it does
    not see. `of`, `calibrate` and `load` give one.

    Attributes:
        model: embeds the queries.
        instruction: precedes each query, as in the calibration.
        score: of embeddings, with the threshold.
    """

    def __init__(self, model: LLM2VecGen, instruction: str, score: LinearScore) -> None:
        """Put a gate together; `of`, `calibrate` and `load` do so with a score that fits the model.

        Args:
            model: embeds the queries.
            instruction: precedes each query.
            score: of embeddings, with the threshold.
        """
        self.model = model
        self.instruction = instruction
        self.score = score

    @classmethod
    def of(cls, model: LLM2VecGen) -> RefusalGate:
        """Return the gate that ships with a bundled model, found by the model's fingerprint.

        Args:
            model: "almanac" or "smollm2", loaded.

        Returns:
            The gate.

        Raises:
            ValueError: if it is no loaded model.
            GateError: if none ships with the model, or its files are damaged.
        """
        _require_model(model)
        fingerprint = model.fingerprint
        for folder in SHIPPED:
            if folder.is_dir() and (saved := read_gate(folder)).fingerprint == fingerprint:
                return cls._for(model, saved)
        raise GateError(
            f"no gate ships with {model.name!r} (fingerprint {fingerprint:.12}...); expected a "
            f"bundled model. A gate reads one model's embeddings: {HOW_TO_CALIBRATE}."
        )

    @classmethod
    def calibrate(
        cls,
        model: LLM2VecGen,
        *,
        harmful: Iterable[str],
        benign: Iterable[str],
        false_refusal_rate: float = 0.05,
        instruction: str | None = None,
        show_progress: bool = False,
    ) -> RefusalGate:
        """Make a gate from prompts: see `fit_score` for how.

        A prompt that comes twice counts once. Prompts of one topic should follow each other: they
        are then left out together where the threshold is set.

        Args:
            model: embeds the prompts.
            harmful: prompts to refuse, in an order; at least 20.
            benign: prompts to let through, such as your users' questions, and ones that only look
                harmful; at least 5 / false_refusal_rate.
            false_refusal_rate: the share of such prompts that may be refused, in (0, 0.5).
            instruction: precedes each prompt and later each query; None takes the model's own for
                retrieval.
            show_progress: whether to show a progress bar.

        Returns:
            The gate; `calibration` says what to expect of it.

        Raises:
            ValueError: if a prompt is blank, no string, or in both lists, the prompts are no list
                or too few, the rate is out of its range, or the model is no loaded one.
            NonFiniteError: if the LLM computes NaN or infinity.
        """
        _require_model(model)
        if instruction is None:
            instruction = model.prompts.for_query("retrieval")
        require_string("instruction", instruction)
        rate = require_rate(false_refusal_rate)
        refused, passed = _prompts("harmful", harmful), _prompts("benign", benign)
        if both := refused.keys() & passed.keys():
            raise ValueError(
                f"{min(both)!r:.80} is among the harmful and among the benign prompts; expected "
                "each in one of the lists. Leave it out of the other."
            )
        require_enough(len(refused), len(passed), rate)
        vectors = model.encode(
            [*refused, *passed], instruction=instruction, show_progress=show_progress
        )
        score = fit_score(vectors[: len(refused)], vectors[len(refused) :], rate)
        return cls(model, instruction, score)

    @classmethod
    def load(cls, folder: str | PathLike[str], model: LLM2VecGen) -> RefusalGate:
        """Load a gate that `save` wrote.

        Args:
            folder: the folder.
            model: the model that the gate was calibrated for.

        Returns:
            The gate.

        Raises:
            GateError: if it was calibrated for another model, or a file is missing or damaged.
            ValueError: if the folder is no path, or the model is no loaded one.
        """
        _require_model(model)
        path = folder_path(folder)
        saved = read_gate(path)
        if saved.fingerprint != (found := model.fingerprint):
            raise GateError(
                f"the gate in {path} is of the model with the fingerprint {saved.fingerprint:.12}"
                f"..., and {model.name!r} has {found:.12}...: another model, or it was trained "
                f"again. A gate reads one model's embeddings: {HOW_TO_CALIBRATE}."
            )
        return cls._for(model, saved)

    @classmethod
    def _for(cls, model: LLM2VecGen, saved: SavedGate) -> RefusalGate:
        return cls(model, saved.instruction, saved.score)

    @property
    def threshold(self) -> float:
        """What scores above it is refused."""
        return self.score.threshold

    @property
    def calibration(self) -> Calibration:
        """What the threshold was set with, and what to expect of it."""
        return self.score.calibration

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the gate: the weights as safetensors, the rest as JSON.

        Args:
            folder: where to; created if it does not exist.

        Raises:
            ValueError: if the folder is no path.
            StorageError: if it cannot be written; a gate that was there is whole.
        """
        saved = SavedGate(self.model.fingerprint, self.instruction, self.score)
        write_gate(folder_path(folder), saved)

    def scores(self, queries: Sequence[str]) -> Vectors:
        """Return the score of each query; one forward embeds them.

        That of a blank query means nothing: `check` never refuses one.

        Args:
            queries: strings.

        Returns:
            float32, (n,): the log-odds that a query is to be refused.

        Raises:
            ValueError: if something else is among them.
            NonFiniteError: if the LLM computes NaN or infinity.
        """
        listed = as_texts(queries)
        if not listed:
            return np.empty(0, dtype=np.float32)
        return self.scores_of(self.model.encode(listed, instruction=self.instruction))

    def scores_of(self, vectors: Vectors) -> Vectors:
        """Return the score of each query by its embedding, without a forward.

        Args:
            vectors: (n, dimension), by the gate's model with the gate's instruction, of any length.

        Returns:
            float32, (n,).

        Raises:
            ValueError: if they have another shape, or one is zero or not finite.
        """
        return self.score.of(vectors)

    def check(self, query: str, *, vector: Vectors | None = None) -> Verdict:
        """Return whether a query is refused. A blank one is not: it asks for nothing.

        Args:
            query: the query.
            vector: (dimension,) its embedding, if it is known: see `scores_of`. None embeds it.

        Returns:
            The verdict.

        Raises:
            ValueError: if the query is no string, or the vector is not as described.
            NonFiniteError: if the LLM computes NaN or infinity.
        """
        require_string("query", query)
        if vector is None:
            vector = self.model.encode(query, instruction=self.instruction)
        (score,) = self.scores_of(np.asarray(vector, dtype=np.float32)[None]).tolist()
        return Verdict(
            refused=score > self.threshold and bool(query.strip()),
            score=score,
            threshold=self.threshold,
            vector=vector,
            _decode=lambda: self.model.decode(query, instruction=self.instruction),
        )


def _require_model(model: object) -> None:
    from llm2vec_gen_rag import model as loaded  # here, as it imports torch

    loaded.require_model(model)


def _prompts(what: str, given: Iterable[str]) -> dict[str, None]:
    """Return the distinct prompts in their order; raise ValueError for what is none."""
    # the folds follow the order, which a set does not have
    if isinstance(given, str | bytes | Mapping | set | frozenset) or not isinstance(
        given, Iterable
    ):
        raise ValueError(
            f"{what} is {given!r:.80} ({type(given).__name__}); expected a list of prompts, or "
            "another iterable in an order. Of a file with one a line: "
            "Path(file).read_text().splitlines()."
        )
    listed = list(given)
    for place, prompt in enumerate(listed):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(
                f"{what}[{place}] is {prompt!r:.80}; expected a prompt. Leave out blank ones."
            )
    return dict.fromkeys(listed)
