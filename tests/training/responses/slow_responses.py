"""Responses written so slowly that a run can be killed between two batches of them."""

from __future__ import annotations

import time

from llm2vec_gen_rag.training.responses import local


def write_slowly() -> None:
    """Let the rest of this process pause after each batch that it appends."""
    append = local.append_responses

    def slowly(path, batch):
        append(path, batch)
        time.sleep(0.05)

    local.append_responses = slowly
