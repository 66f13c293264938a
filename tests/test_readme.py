"""What the README shows is run here, and its numbers are those of the model card."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest
from retrieval_folder import write_folder

from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"^\$ (.*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
OURS = [command for command in COMMANDS if command.startswith("llm2vec-gen-rag ")]
TAKES_LONG = {"llm2vec-gen-rag eval": ["--limit", "3"]}


def printed_by(snippet):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(snippet, "README.md", "exec"), {})
    return printed.getvalue().strip()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("\n")[0][:40])
def test_every_snippet_runs_and_prints_what_it_says(snippet):
    promised = re.findall(r"print\(.*\)\s+# (.*)$", snippet, flags=re.MULTILINE)
    printed = printed_by(snippet)
    assert printed
    assert printed.split("\n")[: len(promised)] == promised


@pytest.mark.parametrize(
    ("framework", "answer"),
    [("langchain_core", "Japan pays with the Japanese yen."),
     ("llama_index.core", "Japan pays with the Japanese yen.")],
)  # fmt: skip
def test_the_frameworks_find_the_document_that_answers(framework, answer):
    (snippet,) = (text for text in SNIPPETS if text.startswith(f"from {framework}"))
    assert printed_by(snippet) == answer


@pytest.mark.parametrize("command", OURS)
def test_every_command_runs(command, tmp_path, monkeypatch, capsys):
    arguments = shlex.split(command)[1:]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "money.txt").write_text("France pays with the euro.")
    (tmp_path / "queries.txt").write_text(
        "what is iron used for\nwhere is Peru\nwho made Ulysses\n"
    )
    write_folder(tmp_path / "my-benchmark")
    monkeypatch.chdir(tmp_path)
    if "my-embedder" in command:
        for earlier in OURS[: OURS.index(command)]:
            if "my-embedder" in earlier:
                assert main(_at_miniature_size(shlex.split(earlier)[1:], tmp_path)) == 0
    if "search" in arguments:
        assert main(["index", "docs", "--store", "library"]) == 0
    if "train" in arguments:
        arguments = _at_miniature_size(arguments, tmp_path)
    if arguments == ["--help"]:
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
    else:
        assert main(arguments + TAKES_LONG.get(command, [])) == 0
    assert capsys.readouterr().out.strip()


def _at_miniature_size(arguments, folder):
    """The almanac's own language model as MY_LLM, and a recipe of three steps."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        "response_tokens: 2\ncompression_tokens: 2\nsteps: 3\nwarmup_steps: 1\nbatch_size: 2\n"
        "teacher: tfidf-projection\nteacher_dimension: 4\nmax_new_tokens: 8\n"
    )
    replaced = {"MY_LLM": str(almanac.MODEL_FOLDER / "base"), "almanac": str(recipe)}
    return [replaced.get(argument, argument) for argument in arguments]


def test_the_make_targets_exist_and_ci_runs_them():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checked = re.search(r"^check: (.*?)\s+##", makefile, flags=re.MULTILINE)[1].split()
    assert "make check\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    targets = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert {"demo", "test"} <= targets <= set(checked)
    assert all(f"\n{target}:" in makefile for target in checked)


def test_the_figures_are_the_measured_ones():
    figures = json.loads((almanac.FOLDER / "figures.json").read_text(encoding="utf-8"))
    card = (almanac.FOLDER / "README.md").read_text(encoding="utf-8")
    for group in (figures["reasoning"], *figures["groups"]):
        shown = [group[way]["ndcg"] for way in ("teacher", "model", "ceiling")]
        row = f"| {group['name']} | {group['questions']} | " + " | ".join(f"{v:.3f}" for v in shown)
        assert row in README
        assert row in card
    for goal in figures["goals"]:
        reached = "yes" if goal["reached"] else "NO"
        row = re.escape(f"| {goal['name']} |") + rf".*\| {goal['value']:.3f} \| {reached} \|"
        assert re.search(row, README)
        assert goal["reached"], goal["name"]


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links if not link.startswith("http"))
