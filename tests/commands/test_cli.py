"""The program around the commands: its help, its exit codes, what it does when things go wrong."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys

import pytest

from llm2vec_gen_rag import __version__
from llm2vec_gen_rag.cli import build_parser, main
from llm2vec_gen_rag.commands.options import DOCUMENTS_MODEL

COMMANDS = [
    *("demo", "index", "search", "list", "delete", "dump", "adopt"),
    *("explain", "gate", "embed", "train", "eval", "export"),
]
PROGRAM = "import sys; from llm2vec_gen_rag.cli import main; sys.exit(main())"


def help_of(capsys, *argv):
    with pytest.raises(SystemExit) as exited:
        main([*argv, "--help"])
    assert exited.value.code == 0
    return capsys.readouterr().out


def test_help_lists_the_commands_and_the_exit_codes(capsys):
    text = help_of(capsys)
    assert all(f"\n    {command} " in text for command in COMMANDS)
    assert "exit codes: 0 done; 1 refused" in text
    assert "130 interrupted" in text


@pytest.mark.parametrize(
    ("command", "model"),
    [
        (["index", "notes"], DOCUMENTS_MODEL),
        (["search", "x"], DOCUMENTS_MODEL),
        (["explain", "x"], DOCUMENTS_MODEL),
        (["embed", "x"], "almanac"),
        (["eval"], "almanac"),
    ],
)
def test_a_command_has_a_default_model_and_its_help_names_it(capsys, command, model):
    assert build_parser().parse_args(command).model == model
    assert f"(default: {model})" in help_of(capsys, command[0])


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_ends_in_examples_that_the_parser_takes(capsys, command):
    examples = help_of(capsys, command).partition("examples:\n")[2].strip().splitlines()
    assert len(examples) == 2
    parsed = 0
    for example in examples:
        words = shlex.split(example.partition(" | ")[2] or example)
        words = words[: words.index(">")] if ">" in words else words
        assert words[0] == "llm2vec-gen-rag"
        assert callable(build_parser().parse_args(words[1:]).run)
        parsed += words[1] == command
    assert parsed


def test_help_imports_nothing_heavy():
    program = (
        "import sys; before = set(sys.modules); from llm2vec_gen_rag.cli import build_parser; "
        "build_parser().format_help(); "
        "brought = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(brought - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "llm2vec_gen_rag safetensors\n", done.stderr  # safetensors: its errors


def test_version(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"llm2vec-gen-rag {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["search"],
        ["search", "x", "-k", "0"],
        ["search", "x", "--filter", "year"],
        ["index", "notes", "--passage-characters", "many"],
        ["embed", "x.txt", "--side", "left"],
        ["train", "--base-model", "x"],
    ],
)
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 2
    assert "usage:" in capsys.readouterr().err


class Interrupted:
    """An input at which somebody presses Ctrl-C, or which fails in a way nobody foresaw."""

    def __init__(self, error):
        self.error = error

    @property
    def buffer(self):
        raise self.error


def test_ctrl_c_exits_with_130(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Interrupted(KeyboardInterrupt()))
    assert run("embed", "-", "--json") == (130, "", "interrupted\n")


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Interrupted(ValueError("a bug elsewhere")))
    with pytest.raises(ValueError, match="a bug elsewhere"):
        run("embed", "-", "--json")


def test_the_process_exits_with_its_code_and_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "index", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no ")
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error(tmp_path, model_options):
    texts = tmp_path / "texts.txt"
    texts.write_text("one\n" * 100)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "embed", str(texts), "--json", *model_options],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_an_encoding_lacks_is_escaped(model_options, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["explain", "☃", "--document", "Schnee ☃", *model_options]) == 0
    assert b"query: \\u2603" in written.getvalue()
