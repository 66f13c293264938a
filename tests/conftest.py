"""The reference checkpoints, and one of them loaded; nothing here reaches the network."""

from __future__ import annotations

import os
import shutil

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, so before anything else

from reference_kits import KITS, ReferenceKit


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


@pytest.fixture(scope="session")
def other_model():
    """Another reference checkpoint, of another family, loaded; shared like `model`."""
    return ReferenceKit("qwen2-6-4").load()
