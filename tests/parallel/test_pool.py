"""Two real processes: the same vectors, the same errors, and no process left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from llm2vec_gen_rag import CheckpointError, LLM2VecGen, almanac
from llm2vec_gen_rag.errors import WorkerError
from llm2vec_gen_rag.parallel.pool import EncoderPool, plan_chunks

TEXTS = [document.text * (1 + row % 3) for row, document in enumerate(almanac.documents()[:60])]


@pytest.fixture(scope="module")
def one_process():
    return LLM2VecGen.from_pretrained("almanac", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def pool():
    with EncoderPool("almanac", devices=["cpu", "cpu"], dtype="float32") as opened:
        yield opened


def test_two_processes_give_the_vectors_of_one(pool, one_process):
    found = pool.encode_document(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one_process.encode_document(TEXTS), rtol=0, atol=1e-5)
    found = pool.encode_query(TEXTS[:5], "retrieval", normalize=False, max_length=24)
    expected = one_process.encode_query(TEXTS[:5], normalize=False, max_length=24)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    found = pool.encode(TEXTS[:5], instruction="Say: ", batch_size=2)
    expected = one_process.encode(TEXTS[:5], instruction="Say: ")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_both_processes_take_part(pool):
    times = [cpu_seconds(process.pid) for process in pool_processes()]
    pool.encode_document(TEXTS * 10)
    assert len(times) == 2
    later = [cpu_seconds(process.pid) for process in pool_processes()]
    assert all(after > before for before, after in zip(times, later, strict=True))


def test_one_text_and_no_text(pool, one_process):
    assert pool.encode("a").shape == (one_process.dimension,)
    assert pool.encode([]).shape == (0, one_process.dimension)


def test_a_progress_bar_only_when_asked(pool, capfd):
    pool.encode(TEXTS[:3])
    assert capfd.readouterr().err == ""
    pool.encode(TEXTS[:3], show_progress=True)
    assert "3/3" in capfd.readouterr().err


def test_chunks_hold_every_row_once_in_equal_work_the_longest_first():
    texts = ["x" * (10 * (row % 50)) for row in range(1000)]
    chunks = plan_chunks(texts, 20)
    assert sorted(row for chunk in chunks for row in chunk) == list(range(1000))
    lengths = [len(texts[row]) for chunk in chunks for row in chunk]
    assert lengths == sorted(lengths, reverse=True)
    work = [sum(len(texts[row]) + 100 for row in chunk) for chunk in chunks]
    assert max(work) < 1.1 * sum(work) / 20
    assert plan_chunks([], 20) == []


@pytest.mark.usefixtures("forked_workers")
def test_a_bad_argument_is_the_models_own_error_and_closes_the_pool(qwen3):
    one = EncoderPool(qwen3.checkpoint, devices=["cpu"], base_model=qwen3.base)
    with pytest.raises(ValueError, match="cooking") as caught:
        one.encode_query(["x"], "cooking")
    assert "in encode_query" in str(caught.value.__cause__)  # the traceback from the process
    with pytest.raises(WorkerError, match="closed"):
        one.encode(["x"])
    one.close()


def test_a_text_that_is_no_string_is_refused_before_anything_is_sent(pool):
    with pytest.raises(ValueError, match=r"texts\[1\] is None"):
        pool.encode(["x", None])
    assert len(pool.encode(["x"])) == 1


@pytest.mark.usefixtures("forked_workers")
def test_a_process_that_is_killed_is_an_error_not_a_hang(qwen3):
    with EncoderPool(qwen3.checkpoint, devices=["cpu", "cpu"], base_model=qwen3.base) as two:
        killed, other = pool_processes()[-2:]
        os.kill(killed.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="exit code -9"):
            two.encode(TEXTS)
    assert not killed.is_alive()
    assert not other.is_alive()


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("./nowhere", {}, CheckpointError, "./nowhere"),
        ("almanac", {"dtpye": "float32"}, TypeError, "dtpye"),
    ],
)
def test_what_cannot_be_loaded_is_the_models_own_error(name, options, error, words):
    before = pool_processes()
    with pytest.raises(error, match=words):
        EncoderPool(name, devices=["cpu"], **options)
    assert pool_processes() == before


@pytest.mark.parametrize("devices", [[], "cpu"])
def test_devices_are_a_list(devices):
    with pytest.raises(ValueError, match="expected a list"):
        EncoderPool("almanac", devices=devices)


@pytest.mark.slow
def test_ctrl_c_leaves_no_process():
    program = """
import multiprocessing
from llm2vec_gen_rag.parallel import EncoderPool
with EncoderPool("almanac", devices=["cpu", "cpu"]) as pool:
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    while True:
        pool.encode_document(["Where is Peru?"] * 5000)
"""
    started = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(pid) for pid in started.stdout.readline().split()]
    time.sleep(0.5)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does
    _, err = started.communicate(timeout=30)
    assert len(pids) == 2
    assert err.count("KeyboardInterrupt\n") == 1  # of the program, not of its processes
    assert "leaked" not in err  # what Python says of semaphores of processes that were cut off
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def pool_processes():
    """The processes of all pools, the latest last."""
    return sorted(multiprocessing.active_children(), key=lambda process: process.pid)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
