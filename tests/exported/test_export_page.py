"""The commands and snippets of docs/export.md run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers", reason="the extra sentence-transformers brings it")
pytest.importorskip("mteb", reason="the extra eval brings it")

from llm2vec_gen_rag.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


def test_the_commands_and_snippets_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ llm2vec-gen-rag (.*)$", PAGE, flags=re.MULTILINE)
    snippets = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert commands
    assert len(snippets) >= 2
    for command in commands:
        assert main(shlex.split(command)) == 0
    for snippet in snippets:
        exec(compile(snippet, "export.md", "exec"), {})
    assert "llm2vec-gen-rag/almanac" in capsys.readouterr().out
