"""Real forks: threads that other libraries had started before, which a child does not have."""

from __future__ import annotations

import os
import textwrap

import pytest
from child_processes import FORK, errors_of_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

SECONDS = 60  # for a child that hangs; each takes a few on an idle machine

# the parent starts torch's threads for something of its own
PARENT = """
import os, sys
import torch
torch.set_num_threads(2)

def multiply():
    return torch.randn(1500, 1500) @ torch.randn(1500, 1500)

def load():
    from llm2vec_gen_rag import LLM2VecGen
    return LLM2VecGen.from_pretrained({checkpoint!r}, base_model={base!r}, dtype="float32")

texts = ["The yen is the money of Japan. " * 20] * 8
"""


def run(script: str, kit, **environment: str) -> str:
    """Run the parent and a script of its own; return what was written to standard error."""
    parent = PARENT.format(checkpoint=str(kit.checkpoint), base=str(kit.base))
    script = FORK + parent + textwrap.dedent(script)
    return errors_of_script(script, seconds=SECONDS, **environment)


def test_a_child_of_a_program_that_used_torch_alone_loads_and_embeds(qwen3):
    run(
        """
        import llm2vec_gen_rag
        multiply()

        def child():
            load().encode(texts)
            multiply()
            assert torch.get_num_threads() == 2

        fork(child)
        multiply()
        assert torch.get_num_threads() == 2
        """,
        qwen3,
    )


def test_a_child_tokenizes_whatever_the_parallelism_of_its_parent(qwen3):
    told = run(
        """
        model = load()
        expected = model.encode(texts)

        def child():
            assert abs(model.encode(texts) - expected).max() < 1e-5
            model.answer(texts, max_new_tokens=1)
            fork(lambda: model.encode(texts))

        fork(child)
        assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
        """,
        qwen3,
        TOKENIZERS_PARALLELISM="true",
    )
    assert "fork" not in told


def test_where_torchs_threads_cannot_be_ended_a_child_uses_one_and_says_so(qwen3):
    told = run(
        """
        model = load()
        from llm2vec_gen_rag.backbone import native_threads
        native_threads._end_torch_threads = lambda: False  # as without OpenMP 5
        multiply()

        def child():
            model.encode(texts)
            load().encode(texts)
            multiply()
            assert torch.get_num_threads() == 1

        fork(child)
        assert torch.get_num_threads() == 2
        """,
        qwen3,
    )
    assert told.count("it computes with one thread") == 1


def test_a_child_that_imports_the_package_itself_can_fork(qwen3):
    run(
        """
        multiply()

        def child():
            import llm2vec_gen_rag
            fork(lambda: None)

        fork(child)
        """,
        qwen3,
    )
