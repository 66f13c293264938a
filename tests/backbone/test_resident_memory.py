"""What memory is left, and pages of files that are given back without a number changing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from resident import file_pages_mib

from llm2vec_gen_rag.backbone import resident_memory
from llm2vec_gen_rag.backbone.resident_memory import available_memory, drop_file_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
NUMBERS = 2**21


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


@pytest.fixture(params=[("_FILES_2", "0::"), ("_FILES_1", "4:cpu,memory:")], ids=["v2", "v1"])
def group_of(request, tmp_path, monkeypatch):
    """Return what puts this process into a group within others, each with a limit."""
    files, controllers = request.param
    monkeypatch.setattr(resident_memory, files, (tmp_path, "limit", "used"))
    monkeypatch.setattr(resident_memory, "CONTROL_GROUPS", tmp_path / "groups")

    def put(path, **limits):
        lines = f"1:name=systemd:/\n{controllers}{path}\n"
        (tmp_path / "groups").write_text(lines, encoding="utf-8")
        for folder, limit in limits.items():
            home = tmp_path / folder.replace("_", "/").removeprefix("top")
            home.mkdir(parents=True, exist_ok=True)
            stated = {"limit": limit, "used": 500}
            stated["memory.stat"] = "active_file 70\ninactive_file 30\nanon 9"
            for name, text in stated.items():
                (home / name).write_text(f"{text}\n", encoding="utf-8")

    return put


def test_a_container_leaves_what_it_does_not_use(group_of):
    group_of("/a/of/another/machine", top=800)  # which it does not see
    assert available_memory() == 400


def test_a_group_within_a_group_has_the_limits_of_both(group_of):
    group_of("/job/step", job_step=900, job=700)
    assert available_memory() == 300
    group_of("/job/step", job_step=600, job=700)
    assert available_memory() == 200


def test_no_limit_leaves_what_the_machine_has(group_of, request):
    limit = "max" if "v2" in request.node.name else 2**62
    group_of("/", top=limit)
    assert 2**20 < available_memory() < 2**50


@pytest.mark.parametrize("text", ["", "MemTotal: 9 kB\n", "\nMemAvailable: many\n", "total:\n"])
def test_what_cannot_be_read_leaves_none(monkeypatch, tmp_path, text):
    (tmp_path / "meminfo").write_text(text, encoding="utf-8")
    monkeypatch.setattr(resident_memory, "MEMORY", tmp_path / "meminfo")
    assert available_memory() is None


def test_where_the_system_does_not_say_none_is_left(monkeypatch):
    monkeypatch.setattr(resident_memory, "MEMORY", Path("/does/not/exist"))
    assert available_memory() is None
