"""Where a pool of processes can be started, and who may use it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
from child_processes import FORKED

from llm2vec_gen_rag.errors import WorkerError
from llm2vec_gen_rag.parallel import EncoderPool


def test_a_daemon_is_told_where_to_create_a_pool(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(WorkerError, match="Create the pool in the main process"):
        EncoderPool("almanac", devices=["cpu"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_neither_uses_nor_ends_its_parents_pool(qwen3):
    with EncoderPool(qwen3.checkpoint, devices=["cpu"], base_model=qwen3.base) as pool:
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(WorkerError, match="Create a pool after the fork"):
                    pool.encode("x")
                pool.close()
                multiprocessing.util._exit_function()  # what Python calls at the end of a program
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pool.encode("x").shape == (pool.dimension,)


def test_a_model_in_a_pool_of_another_kind_is_told_of_this_one(model):
    with (
        ProcessPoolExecutor(1, mp_context=FORKED) as processes,
        pytest.raises(pickle.PicklingError, match="EncoderPool"),
    ):
        list(processes.map(model.encode, ["a", "b"]))
