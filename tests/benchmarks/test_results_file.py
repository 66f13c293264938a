"""Parts of the figures are kept one beside the other, with what each was measured with."""

from __future__ import annotations

import json
import subprocess

import pytest
import torch

from benchmarks.provenance import code_commit, file_digest, record_now
from benchmarks.real_texts.results_file import keep, read_figures


def test_a_part_is_kept_beside_the_others_with_its_own_record(tmp_path):
    output = tmp_path / "evidence" / "figures.json"
    assert read_figures(output) == {}
    keep(output, "sets", lambda: {"ndcg": [0.5, 1.0]}, {"commit": "a"})
    keep(output, "latency", lambda: 3, {"commit": "b"})
    keep(output, "recipes", lambda: {"one": {"provenance": {"commit": "c"}}})
    assert read_figures(output) == {
        "sets": {"ndcg": [0.5, 1.0]},
        "latency": 3,
        "recipes": {"one": {"provenance": {"commit": "c"}}},
        "provenance": {"sets": {"commit": "a"}, "latency": {"commit": "b"}},
    }
    keep(output, "sets", dict, {"commit": "d"})
    assert read_figures(output)["provenance"]["sets"] == {"commit": "d"}


def test_a_record_says_what_measured():
    record = record_now("f" * 64)
    assert record["fingerprint"] == "f" * 64
    assert record["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert record["threads"] == torch.get_num_threads()
    assert record["processor"]
    assert json.loads(json.dumps(record)) == record


@pytest.fixture
def checkout(tmp_path):
    """A repository with the package's folder and docs/, one commit in it."""
    for name in ("llm2vec_gen_rag/__init__.py", "docs/evidence.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_figures_that_were_written_before_do_not_make_the_code_another_one(checkout):
    clean = code_commit(checkout)
    assert len(clean) == 40
    (checkout / "docs" / "evidence.json").write_text("measured")
    assert code_commit(checkout) == clean
    (checkout / "llm2vec_gen_rag" / "__init__.py").write_text("changed = True")
    assert code_commit(checkout) == f"{clean}-dirty"


def test_another_file_has_another_digest(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("rows")
    second.write_text("other rows")
    assert file_digest(first) != file_digest(second)
    assert len(file_digest(first)) == 64
