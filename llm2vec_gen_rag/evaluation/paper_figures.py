"""The paper's own figures, by checkpoint: arXiv 2603.10913v2.

Categories are from table 1, BRIGHT and AdvBench-IR from table 2, the lite mean from table 3 (its
teacher's from figure 6). Averages of models that are not in table 1 are read off the figure of
model sizes, to about 0.1. All are in percent and from one training run, without intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class Figures:
    """The paper's figures for one method with one backbone; None or absent if it has none.

    Attributes:
        mteb: mean over the 41 tasks of MTEB(eng, v2).
        categories: mean of each category of those tasks, by mteb's name of the task type.
        lite: mean over the lite list of ten tasks.
        bright: nDCG@10, mean over the 12 sets of BRIGHT.
        advbench_ir: AdvBench-IR, share of requests with a passage of their own in the first five.
    """

    mteb: float | None = None
    categories: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    lite: float | None = None
    bright: float | None = None
    advbench_ir: float | None = None


@dataclass(frozen=True)
class Pair:
    """A published model and its unsupervised teacher, LLM2Vec."""

    model: Figures
    teacher: Figures


CATEGORIES = (
    "Retrieval",
    "Reranking",
    "Clustering",
    "PairClassification",
    "Classification",
    "STS",
    "Summarization",
)


def _by_category(*means: float) -> Mapping[str, float]:
    return MappingProxyType(dict(zip(CATEGORIES, means, strict=True)))


def _averages(model: float, teacher: float) -> Pair:
    return Pair(Figures(mteb=model), Figures(mteb=teacher))


PUBLISHED: Mapping[str, Pair] = MappingProxyType(
    {
        "llm2vec-gen-qwen3-06b": Pair(
            Figures(mteb=55.5, bright=11.6, advbench_ir=25.2),
            Figures(mteb=50.8, bright=10.8, advbench_ir=31.5),
        ),
        "llm2vec-gen-qwen3-17b": Pair(
            Figures(
                mteb=58.6,
                categories=_by_category(38.3, 44.1, 49.9, 74.8, 74.7, 76.1, 26.0),
                bright=15.6,
                advbench_ir=36.2,
            ),
            Figures(
                mteb=54.8,
                categories=_by_category(34.9, 39.9, 41.1, 76.4, 71.1, 73.4, 30.4),
                bright=14.0,
                advbench_ir=46.7,
            ),
        ),
        "llm2vec-gen-qwen3-4b": Pair(
            Figures(
                mteb=60.6,
                categories=_by_category(39.8, 45.9, 50.6, 78.1, 77.2, 78.6, 28.7),
                lite=67.9,
                bright=18.8,
                advbench_ir=42.5,
            ),
            Figures(
                mteb=56.8,
                categories=_by_category(41.1, 40.0, 43.0, 78.5, 72.5, 71.6, 31.1),
                lite=63.3,
                bright=15.7,
                advbench_ir=50.8,
            ),
        ),
        "llm2vec-gen-qwen3-8b": Pair(
            Figures(
                mteb=61.9,
                categories=_by_category(43.3, 46.4, 49.8, 80.6, 77.6, 79.7, 32.1),
                bright=20.2,
                advbench_ir=45.0,
            ),
            Figures(
                mteb=56.8,
                categories=_by_category(42.7, 40.9, 40.6, 77.3, 72.5, 72.6, 31.7),
                bright=14.9,
                advbench_ir=54.2,
            ),
        ),
        "llm2vec-gen-qwen2.5-05b": _averages(56.4, 53.6),
        "llm2vec-gen-qwen2.5-15b": _averages(57.5, 54.2),
        "llm2vec-gen-qwen2.5-3b": _averages(59.7, 58.0),
        "llm2vec-gen-qwen2.5-7b": _averages(59.1, 55.6),
        "llm2vec-gen-llama3.2-1b": _averages(56.3, 53.6),
        "llm2vec-gen-llama3.2-3b": _averages(60.0, 56.3),
        "llm2vec-gen-llama3.1-8b": _averages(61.1, 60.0),
    }
)

NOTHING = Pair(Figures(), Figures())


def published_figures(name: str) -> Pair:
    """Return the paper's figures for a checkpoint, by the last part of its hub id or folder.

    `McGill-NLP/LLM2Vec-Gen-Qwen3-17B` and a folder `LLM2Vec-Gen-Qwen3-1.7B` are the same. The
    figures of a model that the paper does not have are all None.
    """
    return _BY_BARE_NAME.get(_bare(Path(name).name), NOTHING)


def _bare(name: str) -> str:
    """Return letters and digits only: hub ids have sizes without the dot, folders often with it."""
    return "".join(character for character in name.lower() if character.isalnum())


_BY_BARE_NAME = {_bare(name): pair for name, pair in PUBLISHED.items()}
