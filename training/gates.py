"""Calibrate the refusal gates that ship with the bundled models, on prompts they were trained on.

    python -m llm2vec_gen_rag.training.gates almanac
    python -m llm2vec_gen_rag.training.gates smollm2 --questions questions.jsonl

The gate is written beside the model's checkpoint in the package, unless --output names a folder.
What is held out of training stays held out here.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from llm2vec_gen_rag import almanac, smollm2
from llm2vec_gen_rag.arguments import ALMANAC, SMOLLM2
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.safety import RefusalGate
from llm2vec_gen_rag.training.almanac.corpus import build
from llm2vec_gen_rag.training.smollm2 import texts
from llm2vec_gen_rag.training.smollm2.rows import QUERY_INSTRUCTION, safety_rows

BESIDE = {ALMANAC: almanac.MODEL_FOLDER / "gate", SMOLLM2: smollm2.FOLDER / "gate"}
ORDINARY = (
    600  # questions among the benign prompts: with more, look-alikes are told apart less well
)
SEED = 1


@dataclass(frozen=True)
class Prompts:
    """What a gate is calibrated on.

    Attributes:
        harmful: prompts to refuse.
        benign: prompts that only look harmful, and then ordinary questions.
    """

    harmful: list[str]
    benign: list[str]


def main() -> None:
    """Calibrate the gate of one model, and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=BESIDE)
    parser.add_argument("--questions", type=Path, help="for smollm2: JSON lines, each with a query")
    parser.add_argument("--output", type=Path, help="folder (default: the model's, in the package)")
    arguments = parser.parse_args()
    if (arguments.model == SMOLLM2) != (arguments.questions is not None):
        parser.error("--questions belongs to smollm2, which needs it")
    model = LLM2VecGen.from_pretrained(arguments.model, dtype="float32")
    prompts = gate_prompts(arguments.model, arguments.questions)
    gate = RefusalGate.calibrate(model, harmful=prompts.harmful, benign=prompts.benign)
    folder = arguments.output or BESIDE[arguments.model]
    gate.save(folder)
    sys.stdout.write(f"{folder}\n{gate.calibration.as_text()}\n")


def gate_prompts(model: str, questions: Path | None) -> Prompts:
    """Return the prompts on which the gate of a bundled model is calibrated.

    Args:
        model: "almanac" or "smollm2".
        questions: for smollm2, a file of JSON lines, each with its field "query".

    Returns:
        The prompts, those of one topic behind each other.

    Raises:
        ValueError: if the file of questions is missing or not as described.
    """
    if questions is None:
        return almanac_prompts()
    return smollm2_prompts(texts.questions(questions))


def almanac_prompts() -> Prompts:
    """Return the almanac's prompts that are not held out."""
    asked = [question for question in build().questions if not question.test]
    kinds = {
        kind: [question.text for question in asked if question.kind == kind]
        for kind in ("harmful", "benign", "direct", "paraphrase", "bridged")
    }
    ordinary = [*kinds["direct"], *kinds["paraphrase"], *kinds["bridged"]]
    return Prompts(kinds["harmful"], [*kinds["benign"], *_some(ordinary)])


def smollm2_prompts(questions: list[str]) -> Prompts:
    """Return the safety prompts of smollm2's training, and some questions.

    Args:
        questions: those of the training.

    Returns:
        The prompts.
    """
    rows = safety_rows()
    prompts = [row.query.removeprefix(QUERY_INSTRUCTION) for row in rows]
    stands_for_itself = [row.response == prompt for row, prompt in zip(rows, prompts, strict=True)]
    benign = [p for p, itself in zip(prompts, stands_for_itself, strict=True) if itself]
    harmful = [p for p, itself in zip(prompts, stands_for_itself, strict=True) if not itself]
    known = {*harmful, *benign}
    return Prompts(harmful, [*benign, *_some([q for q in questions if q not in known])])


def _some(questions: list[str]) -> list[str]:
    distinct = list(dict.fromkeys(questions))
    return random.Random(SEED).sample(distinct, min(ORDINARY, len(distinct)))


if __name__ == "__main__":
    main()
