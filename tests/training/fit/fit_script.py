"""Train a reference checkpoint in a process of its own: fit_script.py RECIPE_JSON FOLDER..."""

from __future__ import annotations

import json
import os
import sys

from training_runs import ANSWERS, QUESTIONS, count_steps, load, teacher_of

from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit import trainer_arguments
from llm2vec_gen_rag.training.fit.stage import fit


def main():
    """Train into each folder in turn, and print how many micro-batches that took."""
    trainer_arguments.cpu_has_bfloat16 = lambda: False  # rounding apart, processes must agree
    recipe = Recipe(**json.loads(sys.argv[1]))
    for folder in sys.argv[2:]:
        model = load()
        steps = count_steps(model)
        fit(model, QUESTIONS, ANSWERS, teacher_of(model), recipe, folder)
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps({"steps": len(steps), "fingerprint": model.fingerprint}))


if __name__ == "__main__":
    main()
