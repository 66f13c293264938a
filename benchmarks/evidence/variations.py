"""What is tried: the almanac's recipe with several seeds, and with one thing changed at a time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from llm2vec_gen_rag.training.config import Recipe, load_recipe

ABLATION_STEPS = 300
SEEDS = (42, 43, 44)
RECIPE_TOKENS = load_recipe("almanac").response_tokens

# changes of the recipe, by group (a table of the page) and name (its row there)
ABLATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "objective": {
        "both losses (the recipe)": {},
        "reconstruction only": {"alignment_weight": 0.0, "least_squares_rows": 0},
        "alignment only": {"reconstruction_weight": 0.0},
    },
    "tokens": {
        **{
            str(count): {"response_tokens": count, "compression_tokens": count}
            for count in (1, 2, 4, 8, 16, 32)
        },
        str(RECIPE_TOKENS): {},
        "16, the last 8 read": {"response_tokens": 16, "compression_tokens": 8},
    },
    "start": {
        "cue and least squares (the recipe)": {},
        "cue, random heads": {"least_squares_rows": 0},
        "mean embedding, least squares": {"initial_text": ""},
    },
    "teacher": {
        "TF-IDF, random projection to 256 (the recipe)": {},
        "TF-IDF, SVD to 256": {"teacher": "tfidf-svd"},
        "mean states of the same frozen LLM": {"teacher": "backbone-mean"},
    },
    "adapter": {
        "none (the recipe)": {},
        "LoRA, rank 8, alpha 16": {"lora_rank": 8, "lora_alpha": 16.0},
    },
}


@dataclass(frozen=True)
class Variation:
    """One training run: the almanac's recipe with some keys changed.

    Attributes:
        group: the table of the page that it belongs to.
        name: its row there.
        changes: the keys of the recipe that differ.
    """

    group: str
    name: str
    changes: dict[str, Any]

    @property
    def recipe(self) -> Recipe:
        """The recipe with the changes."""
        return dataclasses.replace(load_recipe("almanac"), **self.changes)


def variations() -> list[Variation]:
    """Return every run, the seeds first."""
    short = {"steps": ABLATION_STEPS, "warmup_steps": 20}
    return [
        *(Variation("seeds", f"seed {seed}", {"seed": seed}) for seed in SEEDS),
        *(
            Variation(group, name, {**short, **changes})
            for group, rows in ABLATIONS.items()
            for name, changes in rows.items()
        ),
    ]
