"""What memory is left, and pages of files that are given back without a number changing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from llm2vec_gen_rag.backbone import resident_memory
from llm2vec_gen_rag.backbone.resident_memory import available_memory, drop_file_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
NUMBERS = 2**21


def file_pages_mib():
    """Return the MiB of mapped files that this process has in memory."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssFile")) / 1024


@pytest.fixture
def mapped(tmp_path):
    """8 MiB of a file, mapped for this process alone as safetensors maps weights, and read."""
    file = tmp_path / "weights"
    torch.arange(NUMBERS, dtype=torch.float32).numpy().tofile(file)
    tensor = torch.from_file(str(file), shared=False, size=NUMBERS)
    assert tensor.sum() > 0
    return tensor


def test_pages_of_a_file_are_given_back_and_read_again(mapped):
    before = file_pages_mib()
    drop_file_pages(mapped)
    assert before - file_pages_mib() > 7
    assert torch.equal(mapped, torch.arange(NUMBERS, dtype=torch.float32))


def test_a_number_that_was_changed_stays_changed(mapped):
    mapped[NUMBERS // 2] = -1
    drop_file_pages(mapped)
    assert mapped[NUMBERS // 2] == -1


@pytest.mark.parametrize("size", [0, 1, 2**21])
def test_memory_of_no_file_keeps_its_numbers(size):
    tensor = torch.ones(size)
    drop_file_pages(tensor)
    assert torch.equal(tensor, torch.ones(size))


def test_where_the_system_does_not_tell_pages_stay(mapped, monkeypatch):
    monkeypatch.setattr(resident_memory, "PAGE_TABLE", Path("/does/not/exist"))
    before = file_pages_mib()
    drop_file_pages(mapped)
    assert file_pages_mib() == pytest.approx(before, abs=1)


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """Return what states the limit of a container, of which it uses 500, 100 of them for files."""

    def state(limit):
        stated = {"max": limit, "current": 500, "stat": "active_file 70\ninactive_file 30\nanon 9"}
        for name, text in stated.items():
            (tmp_path / f"memory.{name}").write_text(f"{text}\n", encoding="utf-8")

    group = (tmp_path, "memory.max", "memory.current")
    monkeypatch.setattr(resident_memory, "_GROUPS", (group,))
    return state


def test_a_container_leaves_what_it_does_not_use(limited):
    limited(800)
    assert available_memory() == 400


def test_no_limit_leaves_what_the_machine_has(limited):
    limited("max")
    assert 2**20 < available_memory() < 2**50


def test_where_the_system_does_not_say_none_is_left(monkeypatch):
    monkeypatch.setattr(resident_memory, "MEMORY", Path("/does/not/exist"))
    assert available_memory() == 0
