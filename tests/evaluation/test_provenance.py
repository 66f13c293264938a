"""A figure says by which command, seed and commit it was made."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict

import pytest

from llm2vec_gen_rag import __version__
from llm2vec_gen_rag.evaluation.provenance import checkout_commit, provenance


@pytest.fixture
def checkout(tmp_path):
    """A package in a git repository of its own, committed."""

    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)

    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    return tmp_path


def test_the_commit_is_that_of_the_checkout(checkout):
    head = (checkout / ".git" / "HEAD").read_text().split()[1]
    commit = (checkout / ".git" / head).read_text().strip()
    assert checkout_commit(checkout / "package") == commit
    (checkout / "package" / "__init__.py").write_text("changed")
    assert checkout_commit(checkout / "package") == f"{commit}-dirty"


def test_a_package_that_a_repository_does_not_track_has_no_commit(checkout, tmp_path):
    installed = checkout / "site-packages"
    installed.mkdir()
    (installed / "__init__.py").write_text("")
    assert checkout_commit(installed) is None


def test_it_names_the_run_and_no_date(model):
    made_by = provenance(model, "llm2vec-gen-rag eval beir scifact", 7, "abc")
    assert made_by == provenance(model, "llm2vec-gen-rag eval beir scifact", 7, "abc")
    assert (made_by.version, made_by.model) == (__version__, model.name)
    assert made_by.fingerprint == model.fingerprint
    assert made_by.dtype == "float32"
    assert "torch" in json.loads(json.dumps(asdict(made_by)))["libraries"]
    text = made_by.as_text()
    assert text.startswith("made by: llm2vec-gen-rag eval beir scifact · seed 7 · abc · ")
    installed = provenance(model, "x", None, None).as_text()
    assert f"x · nothing random · version {__version__} · float32 on cpu" in installed
