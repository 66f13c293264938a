"""Train a reference checkpoint in a process of its own."""

from __future__ import annotations

import os

from reference_kits import ReferenceKit
from training_runs import ANSWERS, QUESTIONS, count_steps, teacher_of

from llm2vec_gen_rag.training.fit import trainer_arguments
from llm2vec_gen_rag.training.fit.stage import fit


def fit_into(folder, recipe, environment):
    """Train into the folder; return the number of micro-batches, and the model's fingerprint."""
    os.environ.update(environment)
    trainer_arguments.cpu_has_bfloat16 = lambda: False  # rounding apart, processes must agree
    model = ReferenceKit("qwen3-10").load()
    steps = count_steps(model)
    fit(model, QUESTIONS, ANSWERS, teacher_of(model), recipe, folder)
    return len(steps), model.fingerprint
