"""How large a matrix is that the caches of a processor do not hold."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.backbone import caches
from llm2vec_gen_rag.backbone.caches import LEAST, MOST, beyond_caches

MIB = 2**20


@pytest.fixture
def processors(tmp_path, monkeypatch):
    """A folder in which `write` puts the caches of cores, as Linux names them."""
    monkeypatch.setattr(caches, "PROCESSORS", tmp_path)
    beyond_caches.cache_clear()
    yield tmp_path
    beyond_caches.cache_clear()


def write(processors, core, level, cores, size):
    folder = processors / f"cpu{core}" / "cache" / f"index{level}"
    folder.mkdir(parents=True)
    for name, text in (("level", level), ("shared_cpu_list", cores), ("size", size)):
        (folder / name).write_text(f"{text}\n", encoding="ascii")


def test_it_is_twice_a_cache_that_cores_share(processors):
    for core in range(2):
        write(processors, core, 2, core, "1024K")
        write(processors, core, 3, "0-1", "49152K")
    assert beyond_caches() == 96 * MIB


def test_caches_of_several_dies_count_together(processors):
    for core in range(3):
        write(processors, core, 3, core, "32M")
    assert beyond_caches() == 192 * MIB


@pytest.mark.parametrize(
    ("size", "expected"), [("1G", MOST), ("64K", LEAST), ("", LEAST), ("1.5M", LEAST)]
)
def test_it_has_limits(processors, size, expected):
    write(processors, 0, 3, 0, size)
    assert beyond_caches() == expected


def test_where_nothing_is_named_or_can_be_read_it_is_the_least(processors):
    assert beyond_caches() == LEAST
    (processors / "cpu0" / "cache" / "index0").mkdir(parents=True)
    beyond_caches.cache_clear()
    assert beyond_caches() == LEAST
