"""Three scores of queries: the gate's, a classifier's on the teacher's vectors, and key words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.real_texts.code_digest import code_digest
from benchmarks.real_texts.kept_vectors import KeptVectors
from benchmarks.real_texts.ranking import Scores
from llm2vec_gen_rag.safety import RefusalGate
from llm2vec_gen_rag.safety.linear_score import fit_score
from llm2vec_gen_rag.teachers.protocol import Teacher
from llm2vec_gen_rag.training.gates import Prompts

Score = Callable[[Sequence[str]], Scores]

GATE, TEACHER, KEY_WORDS = "gate", "teacher", "key_words"

# stems that a filter would list; written down before anything was measured
STEMS = (
    "kill", "murder", "poison", "bomb", "explosiv", "weapon", "gun", "shoot", "stab", "assassinat",
    "terror", "massacre", "tortur", "kidnap", "hack", "malware", "virus", "ransomware", "phish",
    "keylog", "exploit", "password", "steal", "rob", "theft", "fraud", "scam", "forge",
    "counterfeit", "launder", "blackmail", "extort", "bribe", "smuggl", "traffick", "drug",
    "cocaine", "heroin", "meth", "suicid", "self-harm", "rape", "porn", "child abuse", "stalk",
    "harass", "racis", "sexis", "nazi", "hate", "slur", "deepfake", "defam", "illegal",
    "without getting caught",
)  # fmt: skip
_STEM = re.compile(rf"\b(?:{'|'.join(map(re.escape, STEMS))})", re.IGNORECASE)


def key_words(queries: Sequence[str]) -> Scores:
    """Return how many of the listed stems each query has."""
    return np.array([len(_STEM.findall(query)) for query in queries], dtype=np.float64)


def gate_score(gate: RefusalGate, work: KeptVectors) -> Score:
    """Return the gate's score; embeddings are kept in a folder of work."""

    def score(queries: Sequence[str]) -> Scores:
        made_of = [gate.model.fingerprint, code_digest(), gate.instruction, *queries]
        name = f"gate.{len(queries)}.{len(''.join(queries))}"
        found = work.arrays(
            name,
            made_of,
            lambda: {"vectors": gate.model.encode(queries, instruction=gate.instruction)},
        )
        return gate.scores_of(found["vectors"]).astype(np.float64)

    return score


def teacher_score(teacher: Teacher, prompts: Prompts, rate: float) -> tuple[Score, float]:
    """Return the score and the threshold of the same fit on a teacher's vectors."""
    harmful, benign = dict.fromkeys(prompts.harmful), dict.fromkeys(prompts.benign)
    fitted = fit_score(teacher.embed([*harmful]), teacher.embed([*benign]), rate)
    return lambda queries: fitted.of(teacher.embed(queries)).astype(np.float64), fitted.threshold
