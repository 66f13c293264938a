"""The snippets of docs/explain.md run."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"


def test_the_snippets_run_and_explain_what_was_found(capsys):
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, PAGE.name, "exec"), {})
    assert capsys.readouterr().out.startswith("The currency of Japan is the Japanese yen.\n(0.")
