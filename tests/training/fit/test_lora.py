"""LoRA: trained on the side that embeds, off on the side that decodes, saved as PEFT saves it."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from peft import PeftModel
from reference_kits import ReferenceKit
from training_runs import ANSWERS, QUESTIONS, RECIPE, StopError, stop_in_step, teacher_of
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.encoder import last_hidden_states, lora_active, soft_prompts
from llm2vec_gen_rag.training.fit.stage import fit
from llm2vec_gen_rag.training.objective import pair_losses, step_losses, tokenize_pairs

pytestmark = pytest.mark.usefixtures("undrawn")

LORA = dataclasses.replace(
    RECIPE, steps=20, learning_rate=3e-3, logging_steps=5, lora_rank=4, lora_alpha=8.0
)


@pytest.fixture
def new_model():
    """Fresh response tokens and LoRA on a reference kit's base."""

    def make(kit="qwen3-10", rank=4, seed=0):
        base = ReferenceKit(kit).base
        return LLM2VecGen.initialise(
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            AutoTokenizer.from_pretrained(base),
            dimension=24,
            seed=seed,
            lora_rank=rank,
            lora_alpha=8.0,
        )

    return make


def gradients(model):
    losses = step_losses(model, QUESTIONS, ANSWERS, teacher_of(model))
    losses.total().backward()
    return {
        f"{path}.{letter}": parameter.grad
        for path, update in model.adapter.updates.items()
        for letter, parameter in (("A", update.down), ("B", update.up))
    }


def peft_losses(kit, model):
    """Both losses as the reference package computes them: PEFT encodes, another LLM decodes."""
    base = AutoModel.from_pretrained(ReferenceKit(kit).base, dtype=torch.float32)
    base.resize_token_embeddings(len(model.tokenizer))
    encoder = PeftModel.from_pretrained(
        base, ReferenceKit(kit).checkpoint / "encoder", is_trainable=True
    ).eval()
    decoder = AutoModelForCausalLM.from_pretrained(ReferenceKit(kit).base, dtype=torch.float32)
    response = model.tokenizer.convert_tokens_to_ids([f"<question{n}>" for n in range(1, 11)])
    reconstruction, alignment, tokens = 0, 0, 0
    pairs = tokenize_pairs(model, QUESTIONS, ANSWERS, max_length=512)
    for pair, vector in zip(pairs, torch.from_numpy(teacher_of(model)), strict=True):
        ids = torch.tensor([[*pair.question.tolist(), *response]])
        prompts = model.reconstruction(encoder(input_ids=ids).last_hidden_state[:, -10:])
        embedding = model.alignment(prompts).mean(dim=1)
        answer = torch.from_numpy(pair.answer)
        read = decoder.get_input_embeddings()(answer[None, :-1])
        logits = decoder(inputs_embeds=torch.cat([prompts, read], dim=1)).logits[0, 9:]
        reconstruction += torch.nn.functional.cross_entropy(logits, answer, reduction="sum")
        alignment += torch.nn.functional.mse_loss(embedding[0], vector) / len(pairs)
        tokens += len(answer)
    return encoder, reconstruction / tokens, alignment


def test_losses_and_gradients_are_those_of_peft(load_kit):
    model = load_kit("qwen3-10-lora")
    encoder, reconstruction, alignment = peft_losses("qwen3-10-lora", model)
    (reconstruction + alignment).backward()
    losses = step_losses(model, QUESTIONS, ANSWERS, teacher_of(model))
    torch.testing.assert_close(losses.reconstruction, reconstruction, rtol=1e-4, atol=0)
    torch.testing.assert_close(losses.alignment, alignment, rtol=1e-4, atol=0)

    found = gradients(model)
    expected = {
        name.removeprefix("base_model.model.").replace(".lora_", ".").split(".default")[0]: grad
        for name, parameter in encoder.named_parameters()
        if "lora_" in name and (grad := parameter.grad) is not None
    }
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert error < 1e-4, f"{name} is off by {error:.1e}"


def test_fresh_updates_change_nothing(new_model):
    np.testing.assert_array_equal(
        new_model(rank=4).encode(QUESTIONS), new_model(rank=0).encode(QUESTIONS)
    )


@pytest.mark.parametrize("kit", ["qwen3-10", "llama-20-10", "qwen2-6-4"])
def test_what_is_trained_reloads_to_the_same_vectors(new_model, tmp_path, kit):
    model = new_model(kit)
    before = {name: weight.clone() for name, weight in model.backbone.state_dict().items()}
    untrained = model.encode(QUESTIONS)
    result = fit(model, QUESTIONS, ANSWERS, teacher_of(model), LORA, tmp_path)
    for loss in ("reconstruction", "alignment"):
        assert result.log[-1][loss] < 0.9 * result.log[0][loss]
    for name, weight in model.backbone.state_dict().items():
        assert torch.equal(weight, before[name]), name
    assert all(update.up.abs().sum() > 0 for update in model.adapter.updates.values())
    assert not np.array_equal(model.encode(QUESTIONS), untrained)
    saved = LLM2VecGen.from_pretrained(tmp_path, dtype="float32", device="cpu")
    assert len(saved.adapter.updates) == 7 * model.backbone.config.num_hidden_layers
    np.testing.assert_array_equal(saved.encode(QUESTIONS), model.encode(QUESTIONS))
    assert saved.decode(QUESTIONS) == model.decode(QUESTIONS)


def test_peft_reads_what_is_saved(new_model, tmp_path):
    model = new_model()
    fit(model, QUESTIONS, ANSWERS, teacher_of(model), LORA, tmp_path)
    config = json.loads((tmp_path / "encoder" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8.0)
    base = AutoModel.from_pretrained(ReferenceKit("qwen3-10").base, dtype=torch.float32)
    base.resize_token_embeddings(len(model.tokenizer))
    encoder = PeftModel.from_pretrained(base, tmp_path / "encoder").eval()
    response = model.tokenizer.convert_tokens_to_ids([f"<question{n}>" for n in range(1, 11)])
    ids = torch.tensor([[*model.tokenizer(QUESTIONS[0])["input_ids"], *response]])
    with torch.no_grad():
        states = encoder(input_ids=ids).last_hidden_state[:, -10:]
        embedding = model.alignment(model.reconstruction(states)).mean(dim=1)
    expected = model.encode(QUESTIONS[0], normalize=False)
    np.testing.assert_allclose(embedding[0].numpy(), expected, rtol=0, atol=1e-5)


def test_dropout_is_on_in_training_only(new_model, tmp_path):
    fingerprints = []
    for dropout in (0.0, 0.5):
        model = new_model()
        recipe = dataclasses.replace(LORA, lora_dropout=dropout)
        fit(model, QUESTIONS, ANSWERS, teacher_of(model), recipe, tmp_path / str(dropout))
        fingerprints.append(model.fingerprint)
        np.testing.assert_array_equal(model.encode(QUESTIONS), model.encode(QUESTIONS))
    assert fingerprints[0] != fingerprints[1]


def test_a_stopped_run_with_dropout_resumes_to_the_same_weights(new_model, tmp_path):
    recipe = dataclasses.replace(LORA, save_steps=2)
    whole, stopped, rest = new_model(), new_model(), new_model()
    fit(whole, QUESTIONS, ANSWERS, teacher_of(whole), recipe, tmp_path / "whole")
    stop_in_step(stopped, 4)
    with pytest.raises(StopError):
        fit(stopped, QUESTIONS, ANSWERS, teacher_of(stopped), recipe, tmp_path / "cut")
    fit(rest, QUESTIONS, ANSWERS, teacher_of(rest), recipe, tmp_path / "cut")
    assert rest.fingerprint == whole.fingerprint


def test_the_decoding_side_is_the_plain_llm(load_kit):
    """Only the question's half of the step may run the updates."""
    model = load_kit("qwen3-10-lora")
    pairs = tokenize_pairs(model, QUESTIONS, ANSWERS, max_length=512)
    teacher = torch.from_numpy(teacher_of(model))
    found = pair_losses(model, pairs[:1], teacher[:1]).reconstruction
    with torch.no_grad():
        states = last_hidden_states(model, [pairs[0].question])
        read = torch.from_numpy(pairs[0].answer)[None]
        embedded = model.backbone.get_input_embeddings()(read[:, :-1])
        inputs = torch.cat([soft_prompts(model, states), embedded], dim=1)
        losses = []
        for mode in (nullcontext(), lora_active(model)):
            with mode:
                logits = model.backbone(inputs_embeds=inputs).logits[0, -read.shape[1] :]
            losses.append(torch.nn.functional.cross_entropy(logits, read[0]))
    plain, updated = losses
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)
    assert abs(updated - plain) > 1e-3


def test_a_recipe_of_another_rank_is_refused(fresh_model, new_model, tmp_path):
    with pytest.raises(ValueError, match="updates of rank 0, the recipe lora_rank 4"):
        fit(fresh_model, QUESTIONS, ANSWERS, teacher_of(fresh_model), LORA, tmp_path)
    lora = new_model(rank=2)
    with pytest.raises(ValueError, match="updates of rank 2, the recipe lora_rank 4"):
        fit(lora, QUESTIONS, ANSWERS, teacher_of(lora), LORA, tmp_path)


def test_a_rank_below_zero_is_refused(new_model):
    with pytest.raises(ValueError, match="lora_rank is -1"):
        new_model(rank=-1)
