"""The losses and their gradients, against the reference package and values computed by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from reference_kits import ReferenceKit
from safetensors.torch import load_file
from torch import nn

from llm2vec_gen_rag.training.config import load_recipe
from llm2vec_gen_rag.training.fit.stage import fit
from llm2vec_gen_rag.training.objective.losses import alignment_loss, step_losses
from llm2vec_gen_rag.training.objective.reconstruction_loss import LOGIT_ROWS, reconstruction_loss

QUESTIONS = ["where do polar bears live", "Write a short story about a lost sailor", "why"]
ANSWERS = ["Polar bears live in the Arctic.", "A sailor.", "Nobody has told us so far."]


def random_teacher(model, count):
    return np.random.default_rng(0).normal(size=(count, model.dimension)).astype("float32")


def predicted_tokens(model):
    """Record how many positions each later call of the LM head computes."""
    counts = []
    head = model.backbone.get_output_embeddings()
    head.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0])))
    return counts


def test_an_llm_in_int8_is_refused(load_kit):
    model = load_kit("qwen3-10", dtype="int8")
    teacher = random_teacher(model, 1)
    with pytest.raises(ValueError, match="int8, which carries no gradient; expected float32"):
        step_losses(model, QUESTIONS[:1], ANSWERS[:1], teacher)
    with pytest.raises(ValueError, match="int8, which carries no gradient; expected float32"):
        fit(model, QUESTIONS[:1], ANSWERS[:1], teacher, load_recipe("almanac"), "never-made")


@pytest.mark.parametrize("kit", ["qwen3-10", "qwen2-6-4", "llama-20-10"])
def test_losses_and_gradients_are_those_of_the_reference_package(load_kit, kit):
    model = load_kit(kit)
    texts = json.loads((ReferenceKit(kit).folder / "expected_training.json").read_text())
    expected = load_file(ReferenceKit(kit).folder / "expected_training.safetensors")

    losses = step_losses(model, texts["questions"], texts["answers"], expected["teacher"])
    losses.total().backward()

    found = {
        "recon_loss": losses.reconstruction.detach()[None],
        "align_loss": losses.alignment.detach()[None],
        "grad.response_tokens": model.response_tokens.grad,
        "grad.reconstruction.weight": model.reconstruction.weight.grad,
        "grad.reconstruction.bias": model.reconstruction.bias.grad,
        "grad.alignment.weight": model.alignment.weight.grad,
        "grad.alignment.bias": model.alignment.bias.grad,
    }
    for name, value in found.items():
        error = (value - expected[name]).norm() / expected[name].norm()
        assert error < 1e-4, f"{name} is off by {error:.1e}"


def test_the_frozen_llm_receives_no_gradient(fresh_model):
    step_losses(fresh_model, QUESTIONS, ANSWERS, random_teacher(fresh_model, 3)).total().backward()
    assert all(weight.grad is None for weight in fresh_model.backbone.parameters())


@pytest.mark.parametrize("kit", ["qwen3-10", "llama-20-10"])
def test_a_padded_batch_is_the_mean_of_its_rows(load_kit, kit):
    model = load_kit(kit)
    teacher = random_teacher(model, 3)
    counts = predicted_tokens(model)
    with torch.no_grad():
        whole = step_losses(model, QUESTIONS, ANSWERS, teacher)
        rows = [
            step_losses(model, [question], [answer], vector[None])
            for question, answer, vector in zip(QUESTIONS, ANSWERS, teacher, strict=True)
        ]
    tokens = counts[1:]
    by_token = sum(n * row.reconstruction for n, row in zip(tokens, rows, strict=True))
    torch.testing.assert_close(whole.reconstruction, by_token / sum(tokens))
    torch.testing.assert_close(whole.alignment, sum(row.alignment for row in rows) / 3)


def test_the_lm_head_sees_answer_tokens_alone(fresh_model):
    counts = predicted_tokens(fresh_model)
    step_losses(fresh_model, QUESTIONS, ANSWERS, random_teacher(fresh_model, 3))
    answers = [fresh_model.tokenizer(answer)["input_ids"] for answer in ANSWERS]
    assert counts == [sum(len(ids) + 1 for ids in answers)]


def test_an_answer_is_cut_at_max_length(fresh_model):
    counts = predicted_tokens(fresh_model)
    step_losses(fresh_model, ["why"], ["so " * 200], random_teacher(fresh_model, 1), max_length=32)
    assert counts == [32]


def test_a_question_is_cut_where_encode_cuts_it(fresh_model):
    room = 32 - len(fresh_model.response_tokens)
    ids = fresh_model.tokenizer("ten " * 100)["input_ids"][:room]
    cut = fresh_model.tokenizer.decode(ids)
    assert fresh_model.tokenizer(cut)["input_ids"] == ids
    teacher = random_teacher(fresh_model, 1)
    long = step_losses(fresh_model, ["ten " * 100], ["yes"], teacher, max_length=32)
    short = step_losses(fresh_model, [cut], ["yes"], teacher)
    torch.testing.assert_close(long.alignment, short.alignment)


def test_markup_in_an_answer_is_text(fresh_model):
    counts = predicted_tokens(fresh_model)
    step_losses(fresh_model, ["why"], ["<|im_end|>"], random_teacher(fresh_model, 1))
    assert counts[0] > 2


def test_empty_texts_and_lone_surrogates_train(fresh_model):
    texts = ["", "\ud800", "\x00"]
    losses = step_losses(fresh_model, texts, texts, random_teacher(fresh_model, 3))
    losses.total().backward()
    assert fresh_model.response_tokens.grad.isfinite().all()


def test_weights_scale_the_losses(fresh_model):
    losses = step_losses(fresh_model, QUESTIONS, ANSWERS, random_teacher(fresh_model, 3))
    expected = 2 * losses.reconstruction + 0.5 * losses.alignment
    torch.testing.assert_close(losses.total(2, 0.5), expected)


def test_a_tensor_and_an_array_are_the_same_teacher(fresh_model):
    teacher = random_teacher(fresh_model, 3)
    array = step_losses(fresh_model, QUESTIONS, ANSWERS, teacher)
    tensor = step_losses(fresh_model, QUESTIONS, ANSWERS, torch.from_numpy(teacher).double())
    assert array.alignment == tensor.alignment


def test_losses_stay_float32_under_autocast(fresh_model):
    teacher = random_teacher(fresh_model, 3)
    exact = step_losses(fresh_model, QUESTIONS, ANSWERS, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = step_losses(fresh_model, QUESTIONS, ANSWERS, teacher)
    assert rounded.reconstruction.dtype == rounded.alignment.dtype == torch.float32
    torch.testing.assert_close(rounded.reconstruction, exact.reconstruction, rtol=0.02, atol=0)
    torch.testing.assert_close(rounded.alignment, exact.alignment, rtol=0.02, atol=0)


def test_alignment_loss_is_a_mean_of_squares():
    loss = alignment_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
    assert loss.item() == 2.5


def test_reconstruction_loss_of_a_blind_model_is_the_log_of_its_vocabulary():
    logits, labels = torch.zeros(4, 487), torch.tensor([0, 7, 99, 486])
    loss = reconstruction_loss(logits, labels, nn.Identity())
    assert math.isclose(loss.item(), math.log(487), rel_tol=1e-6)


@pytest.mark.parametrize("rows", [1, LOGIT_ROWS, LOGIT_ROWS + 1])
def test_the_loss_in_pieces_is_the_loss_of_the_whole(rows):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(rows, 8, generator=generator, requires_grad=True)
    labels = torch.randint(11, (rows,), generator=generator)
    head = nn.Linear(8, 11).requires_grad_(requires_grad=False)
    whole = torch.nn.functional.cross_entropy(head(states), labels)
    pieces = reconstruction_loss(states, labels, head)
    torch.testing.assert_close(pieces, whole)
    (expected,) = torch.autograd.grad(3 * whole, states)
    (found,) = torch.autograd.grad(3 * pieces, states)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("questions", "answers", "vectors", "message"),
    [
        ([], [], 0, "no questions"),
        (["a", "b"], ["a"], 2, "2 questions and 1 answers"),
        ("why", ["a"], 1, "single string"),
        (["a"], [None], 1, r"texts\[0\] is None"),
        (["a"], ["b"], 2, r"\(2, 48\); expected \(1, 48\)"),
    ],
)
def test_data_that_does_not_fit_is_refused(fresh_model, questions, answers, vectors, message):
    with pytest.raises(ValueError, match=message):
        step_losses(fresh_model, questions, answers, random_teacher(fresh_model, vectors))


def test_a_teacher_of_another_dimension_is_refused(fresh_model):
    with pytest.raises(ValueError, match=r"\(1, 7\); expected \(1, 48\)"):
        step_losses(fresh_model, ["why"], ["so"], np.zeros((1, 7)))


def test_a_teacher_vector_that_is_not_finite_is_named(fresh_model):
    teacher = random_teacher(fresh_model, 3)
    teacher[1, 5] = np.nan
    with pytest.raises(ValueError, match="teacher vector 1"):
        step_losses(fresh_model, QUESTIONS, ANSWERS, teacher)


def test_max_length_must_leave_room_for_a_question(fresh_model):
    with pytest.raises(ValueError, match=r"max_length is 10 .* pass at least 11"):
        step_losses(fresh_model, ["why"], ["so"], random_teacher(fresh_model, 1), max_length=10)
