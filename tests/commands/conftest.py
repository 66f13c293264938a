"""The command line run in this process, on a tiny model and a folder of notes."""

from __future__ import annotations

import io
import json
import sys

import pytest

from llm2vec_gen_rag.cli import main


@pytest.fixture
def model_options(qwen3):
    options = {"model": qwen3.checkpoint, "base-model": qwen3.base, "dtype": "float32"}
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "bears.md").write_text("# Bears\n\nPolar bears live in the Arctic.\n")
    (folder / "money.txt").write_text("The yen is the money of Japan.")
    (folder / "rows.jsonl").write_text(
        '{"id": "kyoto", "text": "Kyoto was the capital.", "metadata": {"year": 1868}}\n'
        '{"id": "cats", "text": "A cat sleeps.", "metadata": {"year": 2024}}\n'
    )
    return folder


@pytest.fixture
def run(capsys):
    """Run the command line; returns its exit code, output and errors."""

    def run_main(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_main


@pytest.fixture
def run_json(run):
    """Run the command line with `--json`; returns what it prints, parsed."""

    def run_main(*argv):
        code, out, err = run(*argv, "--json")
        assert code == 0, err
        return json.loads(out)

    return run_main


@pytest.fixture
def stdin(monkeypatch):
    """Put bytes on standard input."""

    def put(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put
