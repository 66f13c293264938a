"""The reference checkpoints, and the command line on one of them; nothing reaches the network."""

from __future__ import annotations

import json
import os
import shutil

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, so before anything else

from reference_kits import KITS, ReferenceKit

from llm2vec_gen_rag.cli import main


@pytest.fixture(scope="session", params=KITS)
def each_kit(request) -> ReferenceKit:
    """Each reference checkpoint in turn: Qwen3, Qwen3 with LoRA, Qwen2, Llama."""
    return ReferenceKit(request.param)


@pytest.fixture(scope="session")
def each_model(each_kit):
    """Each reference checkpoint in turn, loaded; shared, so tests leave it as it was."""
    return each_kit.load()


@pytest.fixture(scope="session")
def qwen3() -> ReferenceKit:
    """The first reference checkpoint."""
    return ReferenceKit("qwen3-10")


@pytest.fixture(scope="session")
def kit(qwen3) -> dict[str, str]:
    """What names the first reference checkpoint to an adapter."""
    return {
        "model_name": str(qwen3.checkpoint),
        "base_model": str(qwen3.base),
        "dtype": "float32",
        "device": "cpu",
    }


@pytest.fixture(scope="session")
def model(qwen3):
    """The first reference checkpoint, loaded; shared, so tests leave it as it was."""
    return qwen3.load()


@pytest.fixture
def load_kit():
    """Load a reference checkpoint anew by the name of its folder, for a test that trains it."""

    def load(kit, dtype="float32"):
        return ReferenceKit(kit).load(dtype=dtype)

    return load


@pytest.fixture
def broken(qwen3, tmp_path):
    """A copy of the first reference checkpoint to break, its base inside as `base/`."""
    shutil.copytree(qwen3.checkpoint, tmp_path / "checkpoint")
    shutil.copytree(qwen3.base, tmp_path / "checkpoint" / "base")
    return tmp_path / "checkpoint"


@pytest.fixture
def model_options(qwen3):
    options = {"model": qwen3.checkpoint, "base-model": qwen3.base, "dtype": "float32"}
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "bears.md").write_text("# Bears\n\nPolar bears live in the Arctic.\n")
    (folder / "money.txt").write_text("The yen is the money of Japan.")
    (folder / "rows.jsonl").write_text(
        '{"id": "kyoto", "text": "Kyoto was the capital.", "metadata": {"year": 1868}}\n'
        '{"id": "cats", "text": "A cat sleeps.", "metadata": {"year": 2024}}\n'
    )
    return folder


@pytest.fixture
def run(capsys):
    """Run the command line; returns its exit code, output and errors."""

    def run_main(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_main


@pytest.fixture
def run_json(run):
    """Run the command line with `--json`; returns what it prints, parsed."""

    def run_main(*argv):
        code, out, err = run(*argv, "--json")
        assert code == 0, err
        return json.loads(out)

    return run_main
