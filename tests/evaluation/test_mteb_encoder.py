"""The encoder that `mteb` sees: which instruction goes before which text, whatever the chunk."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("mteb", reason="the extra eval brings it")

from datasets import Dataset
from mteb.abstasks import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.types import PromptType
from torch.utils.data import DataLoader

from llm2vec_gen_rag.evaluation import mteb_encoder
from llm2vec_gen_rag.evaluation.mteb_encoder import MtebEncoder, run_tasks

TEXTS = ["a long text about bears and their cubs", "  snow ", "the sea", "ice", "night"]
INSTRUCTIONS = {"Tiny": "Say the same: "}


def metadata(name="Tiny"):
    return TaskMetadata(
        name=name, dataset={"path": name, "revision": "local"}, description=name, type="STS",
        category="t2t", eval_langs=["eng-Latn"], main_score="cosine_spearman",
    )  # fmt: skip


def encode(encoder, prompt_type=None, name="Tiny"):
    loader = DataLoader(Dataset.from_dict({"text": TEXTS}), batch_size=2)
    return encoder.encode(
        loader,
        task_metadata=metadata(name),
        hf_split="test",
        hf_subset="default",
        prompt_type=prompt_type,
    )


@pytest.mark.parametrize("side", [None, PromptType.query])
def test_a_task_s_instruction_is_put_before_queries_and_before_every_text_of_other_tasks(
    model, side
):
    expected = model.encode([text.strip() for text in TEXTS], instruction="Say the same: ")
    np.testing.assert_allclose(encode(MtebEncoder(model, INSTRUCTIONS), side), expected, atol=1e-6)


def test_documents_have_the_instruction_of_documents(model):
    expected = model.encode_document([text.strip() for text in TEXTS])
    found = encode(MtebEncoder(model, INSTRUCTIONS), PromptType.document)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_chunks_change_nothing(model, monkeypatch):
    encoder = MtebEncoder(model, INSTRUCTIONS)
    whole = encode(encoder)
    monkeypatch.setattr(mteb_encoder, "TEXTS_AT_ONCE", 3)
    np.testing.assert_allclose(encode(encoder), whole, atol=1e-6)


def test_a_task_without_an_instruction_is_reported(model):
    with pytest.raises(ValueError, match="no instruction is published for the task 'Other'"):
        encode(MtebEncoder(model, INSTRUCTIONS), name="Other")


def test_results_are_kept_apart_by_all_that_changes_them(model, monkeypatch):
    def revision(*arguments):
        return MtebEncoder(model, *arguments).mteb_model_meta.revision

    revisions = {
        revision(INSTRUCTIONS),
        revision(INSTRUCTIONS, 256),
        revision({"Tiny": "Other: "}),
    }
    assert len(revisions) == 3
    assert revision(INSTRUCTIONS) in revisions
    prompts = dataclasses.replace(model.prompts, document="Say it shorter: ")
    monkeypatch.setattr(model, "prompts", prompts)
    assert revision(INSTRUCTIONS) not in revisions


class TinySTS(AbsTaskSTS):
    metadata = metadata()
    min_score, max_score = 0, 5
    loaded = 0

    def load_data(self, **_):
        TinySTS.loaded += 1
        rows = {"sentence1": TEXTS, "sentence2": TEXTS[::-1], "score": [0.0, 1.0, 5.0, 2.0, 3.0]}
        self.dataset = {"test": Dataset.from_dict(rows)}
        self.data_loaded = True


def test_a_finished_task_is_not_measured_again(model, tmp_path):
    encoder = MtebEncoder(model, INSTRUCTIONS)
    (first,) = run_tasks(encoder, [TinySTS()], results_folder=tmp_path)
    assert TinySTS.loaded == 1
    assert -1 <= first.get_score() <= 1
    (again,) = run_tasks(encoder, [TinySTS()], results_folder=tmp_path)
    assert TinySTS.loaded == 1
    assert again.get_score() == pytest.approx(first.get_score(), abs=1e-6)  # mteb keeps six digits
