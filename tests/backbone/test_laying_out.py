"""When matrices are put into oneDNN's layout, and that a model on them computes the same."""

from __future__ import annotations

import pytest
import torch
from layouts import DTYPES, MARKS
from reference_kits import KITS, ReferenceKit
from safetensors.torch import load_file
from torch import nn

from llm2vec_gen_rag.backbone import laying_out
from llm2vec_gen_rag.backbone.digest import weight_checksums
from llm2vec_gen_rag.backbone.laid_out import LaidOutLinear, lay_back
from llm2vec_gen_rag.backbone.laying_out import lay_out, lay_out_once_repaid
from llm2vec_gen_rag.cpu import gradient_forward_for

pytestmark = MARKS
TEXTS = ["What is photosynthesis?", "how tall is it", "Plants turn light into sugar. " * 9]


def layer_of():
    return nn.Linear(48, 40).requires_grad_(requires_grad=False)


def count(backbone):
    return sum(type(module) is LaidOutLinear for module in backbone.modules())


def test_where_memory_is_short_nothing_is_laid_out(monkeypatch):
    layer = layer_of()
    needed = 2 * 4 * 40 * 48
    monkeypatch.setattr(laying_out, "available_memory", lambda: needed - 1)
    lay_out(layer)
    assert type(layer) is nn.Linear
    monkeypatch.setattr(laying_out, "available_memory", lambda: needed)
    lay_out(layer)
    assert type(layer) is LaidOutLinear


def test_memory_that_stays_short_is_soon_asked_for_seldom(monkeypatch):
    asked = []
    monkeypatch.setattr(laying_out, "available_memory", lambda: asked.append(1) or 0)
    layer = layer_of()
    for _ in range(1000):
        lay_out_once_repaid(layer, 1, rows=9)
    assert len(asked) < 7


def test_where_memory_runs_out_meanwhile_the_others_stay_plain(monkeypatch):
    layers = nn.ModuleList(layer_of() for _ in range(4))
    left = iter([10**6, 10**6, 0])
    monkeypatch.setattr(laying_out, "available_memory", lambda: next(left))
    lay_out(layers)
    assert count(layers) == 2


def test_an_allocation_that_fails_leaves_the_layer_plain(monkeypatch):
    def fail(_):
        raise RuntimeError("std::bad_alloc")

    layer = layer_of()
    monkeypatch.setattr(laying_out, "lay_out_layer", fail)
    lay_out(layer)
    assert type(layer) is nn.Linear


def test_small_matrices_are_left_as_they_are(monkeypatch):
    layer = layer_of()
    monkeypatch.setattr(laying_out, "LEAST_WEIGHTS", 40 * 48 + 1)
    lay_out(layer)
    assert type(layer) is nn.Linear


def test_a_layer_is_laid_out_once_enough_forwards_are_to_come():
    layer = layer_of()
    for _ in range(laying_out.REPAID_AFTER - 1):
        lay_out_once_repaid(layer, 1, rows=9)
        assert type(layer) is nn.Linear
    lay_out_once_repaid(layer, 1, rows=9)
    assert type(layer) is LaidOutLinear
    lay_back(layer)
    lay_out_once_repaid(layer, 2 * laying_out.REPAID_AFTER - 1, rows=9)
    assert type(layer) is nn.Linear
    lay_out_once_repaid(layer, 1, rows=9)
    assert type(layer) is LaidOutLinear


def test_weights_that_are_read_at_every_call_are_soon_left_plain():
    layer, times = layer_of(), 0
    for _ in range(1000):
        lay_out_once_repaid(layer, 1, rows=9)
        times += type(layer) is LaidOutLinear
        list(layer.parameters())
    assert times < 7


def test_where_a_plain_row_is_faster_an_llm_that_mostly_writes_one_text_is_plain():
    for way in laying_out.PLAIN_ROW.values():
        way.set(True)
    layer = layer_of()
    lay_out_once_repaid(layer, 1000, rows=1)
    assert type(layer) is nn.Linear
    lay_out_once_repaid(layer, laying_out.REPAID_AFTER, rows=9)
    assert type(layer) is LaidOutLinear
    lay_out_once_repaid(layer, 2 * laying_out.REPAID_AFTER, rows=1)
    assert type(layer) is nn.Linear


def test_where_a_plain_row_is_no_faster_all_forwards_count_alike():
    layer = layer_of()
    lay_out_once_repaid(layer, laying_out.REPAID_AFTER, rows=1)
    assert type(layer) is LaidOutLinear
    lay_out_once_repaid(layer, 1000, rows=1)
    assert type(layer) is LaidOutLinear


def test_a_long_forward_counts_for_more_than_a_token():
    for way in laying_out.PLAIN_ROW.values():
        way.set(True)
    layer = layer_of()
    lay_out_once_repaid(layer, 40, rows=1)
    lay_out_once_repaid(layer, 1, rows=64 * laying_out.ROWS_OF_A_READING)
    assert type(layer) is LaidOutLinear  # of 41 forwards 40 were of one row


def test_a_layout_that_stays_for_long_is_soon_there_again_after_a_reading():
    layer = layer_of()
    for _ in range(3):  # a weight that is read lays the layer back
        lay_out_once_repaid(layer, 8 * laying_out.REPAID_AFTER, rows=9)
        list(layer.parameters())
    for _ in range(6 * laying_out.KEPT):
        lay_out_once_repaid(layer, 16 * laying_out.REPAID_AFTER, rows=9)
    list(layer.parameters())
    lay_out_once_repaid(layer, laying_out.REPAID_AFTER, rows=9)
    assert type(layer) is LaidOutLinear


def test_an_llm_that_wrote_has_its_output_matrix_laid_out_whatever_comes_next():
    llm = nn.Sequential(layer_of())
    llm.base_model, llm.head = nn.Sequential(layer_of()), layer_of()
    lay_out_once_repaid(llm, laying_out.REPAID_AFTER - 1, rows=9, writes=True)
    lay_out_once_repaid(llm, 1, rows=9)
    assert count(llm) == 3
    lay_back(llm)
    lay_out_once_repaid(llm, 2 * laying_out.REPAID_AFTER, rows=9)
    assert count(llm) == count(llm.base_model) == 1


def test_reading_a_long_prompt_counts_with_what_is_written_after_it():
    for way in laying_out.PLAIN_ROW.values():
        way.set(True)
    layer = layer_of()
    lay_out_once_repaid(layer, 64, rows=1, read=2_000)
    assert type(layer) is LaidOutLinear


def test_who_embeds_and_writes_by_turns_waits_for_few_layouts():
    for way in laying_out.PLAIN_ROW.values():
        way.set(True)
    layer, before, changes = layer_of(), nn.Linear, 0
    for _ in range(200):
        for rows in (9, 1):
            lay_out_once_repaid(layer, 64, rows=rows)
            changes += type(layer) is not before
            before = type(layer)
    assert changes < 30  # each takes as long as a dozen of 25,600 readings of the weights


@pytest.fixture(params=KITS)
def kit(request):
    return ReferenceKit(request.param)


@pytest.mark.parametrize("dtype", DTYPES)
def test_embeds_and_writes_the_same(kit, dtype):
    plain, model = (kit.load(dtype=dtype) for _ in range(2))
    lay_out(model.backbone)
    laid = count(model.backbone)
    assert laid > 0
    vectors = model.encode(TEXTS)
    assert (vectors * plain.encode(TEXTS)).sum(axis=1).min() > 1 - 1e-5
    if dtype == torch.float32:  # in bfloat16 two tokens of random weights are as likely
        assert model.decode(TEXTS, max_new_tokens=8) == plain.decode(TEXTS, max_new_tokens=8)
        assert model.answer(TEXTS[0], max_new_tokens=8) == plain.answer(TEXTS[0], max_new_tokens=8)
    else:
        model.decode(TEXTS, max_new_tokens=8)
    assert count(model.backbone) == laid  # nothing of it reads a weight


def test_generate_reads_what_is_laid_out(kit):
    plain, model = kit.load(), kit.load()
    lay_out(model.backbone)
    laid = count(model.backbone)
    ids = torch.arange(5)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            model.backbone(ids).logits, plain.backbone(ids).logits, atol=1e-4, rtol=1e-4
        )
    assert count(model.backbone) == laid


def test_a_call_that_writes_lays_out_and_a_single_question_does_not(kit):
    model = kit.load()
    model.encode(TEXTS[0])
    assert count(model.backbone) == 0
    model.decode(TEXTS[0], max_new_tokens=laying_out.REPAID_AFTER)
    assert count(model.backbone) > 0


def test_its_weights_hash_and_are_saved_as_before(kit, tmp_path):
    plain, model = kit.load(), kit.load()
    lay_out(model.backbone)
    assert weight_checksums(model.backbone) == weight_checksums(plain.backbone)
    lay_out(model.backbone)
    model.backbone.save_pretrained(tmp_path)
    assert count(model.backbone) == 0
    assert (
        load_file(tmp_path / "model.safetensors").keys()
        == load_file(kit.base / "model.safetensors").keys()
    )
    lay_out(model.backbone)
    assert gradient_forward_for(model.backbone) is not None
    assert count(model.backbone.base_model) == 0


def test_a_stream_counts_each_token_once(kit):
    model = kit.load()
    list(model.stream(TEXTS[0], max_new_tokens=3))
    assert laying_out._work[model.backbone.base_model].for_one_row == 3


def test_a_call_that_embeds_lays_out_no_output_matrix(kit):
    model = kit.load()
    for _ in range(laying_out.REPAID_AFTER):
        model.encode(TEXTS[0])
    assert count(model.backbone.base_model) > 0
    assert type(model.backbone.get_output_embeddings()) is nn.Linear
