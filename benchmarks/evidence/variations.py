"""What is tried: the almanac's recipe under several seeds, and with one thing changed at a time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from llm2vec_gen_rag.training.config import Recipe, load_recipe

ABLATION_STEPS = 300
RECIPE_TOKENS = load_recipe("almanac").response_tokens
SEEDS = (42, 43, 44)


@dataclass(frozen=True)
class Variation:
    """One training run: the almanac's recipe with some keys changed.

    Attributes:
        group: The table of the page that it stands in.
        name: Its row there.
    """

    group: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe with the changes."""
        return dataclasses.replace(load_recipe("almanac"), **self.changes)


def variations() -> list[Variation]:
    """Every run, the most telling first."""
    seeds = [Variation("seeds", f"seed {seed}", {"seed": seed}) for seed in SEEDS]
    return [*seeds, *_losses(), *_tokens(), *_starts(), *_teachers(), *_adapters()]


def _short(group: str, name: str, **changes: Any) -> Variation:
    return Variation(group, name, {"steps": ABLATION_STEPS, "warmup_steps": 20, **changes})


def _losses() -> list[Variation]:
    return [
        _short("objective", "both losses (the recipe)"),
        _short("objective", "reconstruction only", alignment_weight=0.0, least_squares_rows=0),
        _short("objective", "alignment only", reconstruction_weight=0.0),
    ]


def _tokens() -> list[Variation]:
    counts = [
        _short("tokens", f"{n}", **({} if n == RECIPE_TOKENS else _of(n)))
        for n in (1, 2, 4, 8, 16, 32)
    ]
    thought = _short("tokens", "16, the last 8 read", response_tokens=16, compression_tokens=8)
    return [*counts, thought]


def _of(count: int) -> dict[str, int]:
    return {"response_tokens": count, "compression_tokens": count}


def _starts() -> list[Variation]:
    return [
        _short("start", "cue and least squares (the recipe)"),
        _short("start", "cue, random heads", least_squares_rows=0),
        _short("start", "mean embedding, least squares", initial_text=""),
    ]


def _teachers() -> list[Variation]:
    return [
        _short("teacher", "TF-IDF, random projection to 256 (the recipe)"),
        _short("teacher", "TF-IDF, SVD to 256", teacher="tfidf-svd"),
        _short("teacher", "mean states of the same frozen LLM", teacher="backbone-mean"),
    ]


def _adapters() -> list[Variation]:
    return [
        _short("adapter", "none (the recipe)"),
        _short("adapter", "LoRA, rank 8, alpha 16", lora_rank=8, lora_alpha=16.0),
    ]
