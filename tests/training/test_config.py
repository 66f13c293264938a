"""Recipes: read from YAML, complete, and refused with a reason when they are wrong."""

from __future__ import annotations

import dataclasses

import pytest

from llm2vec_gen_rag.training.config import Recipe, load_recipe


@pytest.fixture
def recipe_file(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_almanac_recipe_is_found_by_name():
    recipe = load_recipe("almanac")
    assert recipe.response_tokens >= recipe.compression_tokens >= 1
    assert recipe != Recipe()


def test_a_file_overrides_the_defaults_it_names(recipe_file):
    recipe = load_recipe(recipe_file("steps: 12\nwarmup_steps: 3\n"))
    assert recipe == dataclasses.replace(Recipe(), steps=12, warmup_steps=3)


def test_a_path_may_be_a_string(recipe_file):
    assert load_recipe(str(recipe_file("seed: 7"))).seed == 7


def test_a_recipe_says_what_the_model_starts_as():
    recipe = Recipe(response_tokens=6, compression_tokens=4, initial_text="so", seed=5, lora_rank=2)
    initialisation = dataclasses.asdict(recipe.initialisation)
    assert initialisation == {name: getattr(recipe, name) for name in initialisation}


@pytest.mark.parametrize("teacher", ["llm2vec", "sentence-transformers"])
def test_a_teacher_that_is_loaded_is_named_by_its_model(recipe_file, teacher):
    recipe = load_recipe(recipe_file(f"teacher: {teacher}\nteacher_model: some/model"))
    assert (recipe.teacher, recipe.teacher_model) == (teacher, "some/model")


@pytest.mark.parametrize("text", ["learning_rate: 3e-4", "learning_rate: 0.0003"])
def test_a_float_may_be_written_as_yaml_1_1_cannot(recipe_file, text):
    assert load_recipe(recipe_file(text)).learning_rate == 3e-4


def test_a_whole_number_is_a_float_where_one_is_meant(recipe_file):
    weight = load_recipe(recipe_file("alignment_weight: 256")).alignment_weight
    assert (weight, type(weight)) == (256.0, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rte: 1", "unknown key 'learning_rte'; did you mean 'learning_rate'"),
        ("steps: many", "steps is 'many'; expected a whole number"),
        ("steps: 2.5", "steps is 2.5; expected a whole number"),
        ("steps: true", "steps is True"),
        ("steps: 0", "steps is 0; expected a finite number above 0"),
        ("learning_rate: fast", "learning_rate is 'fast'; expected a number"),
        ("learning_rate: .nan", "learning_rate is nan"),
        ("learning_rate: -1.0e-3", "learning_rate is -0.001"),
        ("teacher: 3", "teacher is 3; expected a string"),
        ("teacher: oracle", "teacher is 'oracle'; expected one of"),
        ("teacher: llm2vec", "teacher 'llm2vec' needs a teacher_model"),
        ("teacher_model: some/model", "teacher 'tfidf-svd' does not read; leave it out"),
        ("teacher: llm2vec\nteacher_model: 3", "teacher_model is 3; expected a string"),
        ("teacher_base_modle: x", "unknown key .*; did you mean 'teacher_base_model'"),
        ("teacher_base_model: a/b", "teacher_base_model is 'a/b', which teacher 'tfidf-svd' does"),
        ("teacher_dtype: bfloat16", "teacher_dtype is 'bfloat16'; expected one of float16"),
        ("warmup_steps: 9000", "warmup_steps is 9000; expected at most steps, 5000"),
        ("response_tokens: 4", "compression_tokens is 10; expected at most"),
        ("schedule_steps: 100", "schedule_steps is 100; expected at least steps, 5000"),
        ("gradient_checkpointing: 1", "gradient_checkpointing is 1; expected true or false"),
        ("lora_rank: 1.5", "lora_rank is 1.5; expected a whole number"),
        ("lora_rank: true", "lora_rank is True"),
        ("lora_alpha: 0", "lora_alpha is 0.0; expected a finite number above 0"),
        ("lora_dropout: 1", "lora_dropout is 1.0; expected less than 1"),
        ("save_steps: 0", "save_steps is 0; expected a finite number above 0"),
        ("report_to: printer", "report_to is 'printer'; expected one of tensorboard, wandb, none"),
        ("base_model: 7", "base_model is 7; expected a string"),
        ("max_length: 10", "max_length is 10; expected more than response_tokens"),
        ("accumulation: 5", "batch_size 32 cannot be cut into 5"),
        ("reconstruction_weight: 0\nalignment_weight: 0", "both loss weights are 0"),
        ("- steps", "a recipe is a mapping"),
        ("", "a recipe is a mapping"),
        ("steps: [", "mine.yaml"),
        ("steps: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_file_and_reason(recipe_file, text, message):
    path = recipe_file(text)
    with pytest.raises(ValueError, match=message) as refusal:
        load_recipe(path)
    assert str(path) in str(refusal.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no recipe 'almanach'; expected one of.*almanac"):
        load_recipe("almanach")


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"no recipe file .*absent\.yaml"):
        load_recipe(tmp_path / "absent.yaml")
