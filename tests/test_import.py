"""What `import llm2vec_gen_rag` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import llm2vec_gen_rag
from llm2vec_gen_rag import errors

NAMES = [
    "BaseModelError",
    "CheckpointError",
    "CollectionError",
    "LLM2VecGen",
    "LLM2VecGenError",
    "MissingExtraError",
    "NonFiniteError",
]


def run_python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout


def test_public_names_are_these_and_all_resolve():
    assert llm2vec_gen_rag.__all__ == NAMES
    assert all(getattr(llm2vec_gen_rag, name).__name__ == name for name in NAMES)
    assert llm2vec_gen_rag.__version__[0].isdigit()


def test_dir_lists_the_public_names_and_no_more():
    assert dir(llm2vec_gen_rag) == NAMES
    program = "import llm2vec_gen_rag, sys; print(*dir(llm2vec_gen_rag), 'torch' in sys.modules)"
    assert run_python(program).split() == [*NAMES, "False"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="LLM3VecGen"):
        llm2vec_gen_rag.LLM3VecGen  # noqa: B018


def test_import_brings_the_standard_library_alone():
    program = (
        "import sys; before = set(sys.modules); import llm2vec_gen_rag; "
        "brought = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*brought - set(sys.stdlib_module_names))"
    )
    assert run_python(program) == "llm2vec_gen_rag\n"


def test_a_missing_extra_says_what_to_install():
    with pytest.raises(ImportError, match=r"pip install 'llm2vec-gen-rag\[langchain\]'") as caught:
        errors.require_extra("langchain", "json", "no_such_module")
    assert caught.value.extra == "langchain"
    assert caught.value.name == "no_such_module"


def test_every_error_has_the_one_root():
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    assert len(classes) > 5
    assert all(issubclass(c, errors.LLM2VecGenError) for c in classes)
