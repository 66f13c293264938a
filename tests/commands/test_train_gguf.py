"""Training on the command line, with a GGUF file as the frozen LLM."""

from __future__ import annotations

import numpy as np
import pytest
from reference_kits import ReferenceKit
from tiny_gguf import write_gguf

from llm2vec_gen_rag import LLM2VecGen

OPTIONS = ["--device", "cpu", "--dtype", "float32"]
RECIPE = """\
teacher: tfidf-svd
teacher_dimension: 4
response_tokens: 3
compression_tokens: 2
steps: 3
warmup_steps: 1
batch_size: 4
max_new_tokens: 4
max_length: 32
report_to: none
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with queries, a recipe and an LLM in 4 bits, in which the commands are run."""
    queries = "".join(f"where does bear number {number} live\n" for number in range(20))
    (tmp_path / "queries.txt").write_text(queries)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    write_gguf(tmp_path / "llm.gguf", ReferenceKit("llama-20-10").base, "Q4_1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_and_its_stages_make_one_model_of_a_gguf_file(work, run_json):
    asked = ["--recipe", "tiny.yaml", "--queries", "queries.txt", "--base-model", "llm.gguf"]
    run_json("train", "--output", "once", *asked, *OPTIONS)
    run_json("train", "responses", "--output", "stages", *asked, *OPTIONS)
    for stage in ("teach", "fit"):
        options = OPTIONS if stage == "fit" else []
        run_json("train", stage, "--output", "stages", "--recipe", "tiny.yaml", *options)
    once, stages = (
        LLM2VecGen.from_pretrained(f"{name}/model", device="cpu", dtype="float32")
        for name in ("once", "stages")
    )
    assert once.fingerprint == stages.fingerprint
    moved = (work / "llm.gguf").rename(work / "moved.gguf")
    found = LLM2VecGen.from_pretrained(
        "once/model", base_model=moved, device="cpu", dtype="float32"
    )
    np.testing.assert_array_equal(found.encode("where"), once.encode("where"))
