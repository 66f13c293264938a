"""A recipe: every choice of one training run, read from YAML and checked before anything loads."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llm2vec_gen_rag.checkpoint.initialisation import Initialisation

RECIPES = Path(__file__).parent / "recipes"
CHOICES = {
    "teacher": (
        "backbone-mean", "backbone-whitened", "llm2vec", "sentence-transformers",
        "tfidf-projection", "tfidf-svd",
    ),
    "teacher_dtype": ("float16", "float32"),
    "report_to": ("tensorboard", "wandb", "none"),
}  # fmt: skip
LOADED_TEACHERS = frozenset({"llm2vec", "sentence-transformers"})
LLM_TEACHERS = frozenset({"backbone-mean", "backbone-whitened"})
ZERO_ALLOWED = frozenset(
    {
        "head_learning_rate", "warmup_steps", "schedule_steps", "lora_rank", "lora_dropout",
        "reconstruction_weight", "alignment_weight", "weight_decay", "max_gradient_norm", "seed",
        "least_squares_rows", "refit_rows", "own_states_weight",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Every choice of one training run; all defaults but the teacher are the paper's (appendix C).

    Attributes:
        response_tokens: N, how many learned tokens follow the text.
        compression_tokens: K <= N, how many of them, counted from the end, are read.
        initial_text: the response tokens start as the embeddings of this text's tokens; empty: near
            the mean embedding.
        least_squares_rows: pairs on which the heads are fitted in closed form before the first
            step; 0: they start at random.
        refit_rows: pairs on which the alignment head is fitted in closed form after the last step;
            0: it stays as it was trained.
        learning_rate: peak of the linear schedule.
        head_learning_rate: the same for the two heads; 0: as `learning_rate`. Heads that least
            squares fitted to long states have small and large weights: a rate that suits the
            low-rank updates throws them off.
        warmup_steps: optimizer steps from zero to the peak.
        steps: optimizer steps in all.
        schedule_steps: optimizer steps after which the learning rate would reach zero; 0 means
            after the last of `steps`. The published checkpoints stop at 5,000 of 20,000.
        batch_size: question-answer pairs per optimizer step, over all processes.
        accumulation: micro-batches into which a process cuts its part of a step, to save memory;
            the result does not depend on it.
        gradient_checkpointing: recompute the LLM's layers in the backward pass instead of saving
            their activations: less memory, more time, the same gradients.
        lora_rank: rank of the low-rank updates of the LLM that embeds; 0 trains without. The
            paper's best variant has rank 8 and alpha 16.
        lora_alpha: the updates are scaled by lora_alpha / lora_rank.
        lora_dropout: dropout probability of the inputs of a low-rank update in training.
        reconstruction_weight: factor of the reconstruction loss; with 0 the LLM reads no answer in
            training, which takes some half of the time.
        alignment_weight: factor of the alignment loss.
        weight_decay: AdamW's decoupled weight decay.
        max_gradient_norm: gradients are clipped to this norm; 0 does not clip them.
        teacher: what embeds the answers, one of `CHOICES["teacher"]`.
        teacher_model: hub id or folder of the teacher where it is "llm2vec" (the SimCSE adapter) or
            "sentence-transformers"; empty for the others.
        teacher_base_model: hub id or folder of the LLM under an "llm2vec" teacher; empty: where
            the adapter says.
        teacher_dimension: vector length of the TF-IDF teachers and of whitened states; the others'
            models fix their own.
        own_states_weight: how much the cosine of the frozen LLM's own whitened states, of
            `teacher_dimension`, counts beside the teacher's; 0: not at all.
        teacher_dtype: what the vectors are stored as: "float16" or "float32".
        max_new_tokens: longest answer the LLM is asked to write.
        max_length: longest question and longest answer, in tokens.
        seed: of the initial response tokens and heads, and of the order of the pairs.
        logging_steps: optimizer steps between two lines of the log.
        save_steps: optimizer steps between two training checkpoints; a stopped run resumes there.
        report_to: what else gets the log: "tensorboard", "wandb" or "none".
        base_model: hub id, folder or GGUF file of the frozen LLM the recipe is meant for, if it is
            for one.
    """

    response_tokens: int = 10
    compression_tokens: int = 10
    initial_text: str = ""
    least_squares_rows: int = 0
    refit_rows: int = 0
    learning_rate: float = 3e-4
    head_learning_rate: float = 0.0
    warmup_steps: int = 100
    steps: int = 5000
    schedule_steps: int = 0
    batch_size: int = 32
    accumulation: int = 1
    gradient_checkpointing: bool = False
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05
    reconstruction_weight: float = 1.0
    alignment_weight: float = 1.0
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0
    teacher: str = "tfidf-svd"
    teacher_model: str = ""
    teacher_base_model: str = ""
    teacher_dimension: int = 256
    own_states_weight: float = 0.0
    teacher_dtype: str = "float16"
    max_new_tokens: int = 500
    max_length: int = 512
    seed: int = 42
    logging_steps: int = 50
    save_steps: int = 100
    report_to: str = "tensorboard"
    base_model: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_value(field.name, getattr(self, field.name), field.default)
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
        self._check_teacher()
        self._check_sizes()

    @property
    def initialisation(self) -> Initialisation:
        """What the model to be trained starts as."""
        return Initialisation(
            response_tokens=self.response_tokens,
            compression_tokens=self.compression_tokens,
            initial_text=self.initial_text,
            seed=self.seed,
            lora_rank=self.lora_rank,
            lora_alpha=self.lora_alpha,
        )

    @property
    def teacher_reads_llm(self) -> bool:
        """Whether the frozen LLM is the teacher, or stands beside it."""
        return self.teacher in LLM_TEACHERS or self.own_states_weight > 0

    def _check_teacher(self) -> None:
        """Raise ValueError unless the teacher has a model where, and only where, it needs one."""
        if self.teacher in LOADED_TEACHERS and not self.teacher_model:
            raise ValueError(
                f"teacher {self.teacher!r} needs a teacher_model; expected a hub id or a folder"
            )
        if self.teacher not in LOADED_TEACHERS and self.teacher_model:
            raise ValueError(
                f"teacher_model is {self.teacher_model!r}, which teacher {self.teacher!r} does not "
                f"read; leave it out, or choose one of {', '.join(sorted(LOADED_TEACHERS))}"
            )
        if self.teacher_base_model and self.teacher != "llm2vec":
            raise ValueError(
                f"teacher_base_model is {self.teacher_base_model!r}, which teacher "
                f"{self.teacher!r} does not read; leave it out, or choose llm2vec"
            )

        if self.teacher in LLM_TEACHERS and self.own_states_weight:
            raise ValueError(
                f"own_states_weight is {self.own_states_weight}, and teacher {self.teacher!r} is "
                "the LLM's own states already; leave it out, or choose another teacher"
            )

    def _check_sizes(self) -> None:
        """Raise ValueError where two values contradict each other."""
        if self.compression_tokens > self.response_tokens:
            raise ValueError(
                f"compression_tokens is {self.compression_tokens}; expected at most "
                f"response_tokens, {self.response_tokens}"
            )
        if self.warmup_steps > self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}; expected at most steps, {self.steps}"
            )
        if 0 < self.schedule_steps < self.steps:
            raise ValueError(
                f"schedule_steps is {self.schedule_steps}; expected at least steps, {self.steps}, "
                "or 0 for as many"
            )
        if self.lora_dropout >= 1:
            raise ValueError(f"lora_dropout is {self.lora_dropout}; expected less than 1")
        if self.max_length <= self.response_tokens:
            raise ValueError(
                f"max_length is {self.max_length}; expected more than response_tokens, "
                f"{self.response_tokens}, so that a question keeps at least one token"
            )
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into {self.accumulation} equal parts; "
                "choose an accumulation that divides it"
            )
        if self.reconstruction_weight == self.alignment_weight == 0:
            raise ValueError("both loss weights are 0; expected at least one above 0")


def load_recipe(source: str | Path) -> Recipe:
    """Return a bundled recipe, or the recipe in a YAML file.

    Args:
        source: a bundled recipe's name, such as "almanac", or a path, such as "mine.yaml".

    Returns:
        The recipe, every value checked.

    Raises:
        ValueError: if there is no such recipe, the file is not a YAML mapping, a key is unknown,
            or a value is of the wrong kind or out of range; the error begins with the file.
    """
    path = _find(source)
    try:
        return parse_recipe(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def parse_recipe(values: Any) -> Recipe:
    """Return the recipe that a YAML mapping describes.

    Args:
        values: values by name, as YAML reads them; a name that is absent keeps its default.

    Returns:
        The recipe, every value checked.

    Raises:
        ValueError: as `load_recipe`.
    """
    if not isinstance(values, Mapping):
        raise ValueError(
            f"a recipe is a mapping of names to values, such as `steps: 2000`; got {values!r}"
        )
    defaults = {field.name: field.default for field in dataclasses.fields(Recipe)}
    for key in values:
        if key not in defaults:
            nearest = difflib.get_close_matches(str(key), defaults, n=1, cutoff=0)
            raise ValueError(
                f"unknown key {key!r}; did you mean {nearest[0]!r}? Known: {', '.join(defaults)}"
            )
    return Recipe(**{key: _as_float(value, defaults[key]) for key, value in values.items()})


def _find(source: str | Path) -> Path:
    """Return the file of a recipe given by name or by path."""
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise ValueError(f"there is no recipe file {path}; check the path")
        return path
    names = sorted(recipe.stem for recipe in RECIPES.glob("*.yaml"))
    if str(source) not in names:
        raise ValueError(
            f"there is no recipe {str(source)!r}; expected one of {', '.join(names)}, or a path "
            "that ends in .yaml"
        )
    return RECIPES / f"{source}.yaml"


def _as_float(value: Any, default: Any) -> Any:
    """Convert what YAML 1.1 reads as a string or an integer where a float is meant: `3e-4`, `1`."""
    if not isinstance(default, float) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _check_value(name: str, value: Any, default: Any) -> None:
    """Raise ValueError unless the value is of the default's kind and in range."""
    if isinstance(default, (bool, str)):
        if not isinstance(value, type(default)):
            kind = "true or false" if isinstance(default, bool) else "a string"
            raise ValueError(f"{name} is {value!r}; expected {kind}")
        return
    whole = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {value!r}; expected {kind}, such as {default}")
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in ZERO_ALLOWED):
        bound = "at least 0" if name in ZERO_ALLOWED else "above 0"
        raise ValueError(f"{name} is {value}; expected a finite number {bound}")
