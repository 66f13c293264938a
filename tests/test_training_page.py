"""What docs/training.md shows is run here, in its order, in one folder, at miniature size."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from chat_server import Server
from retrieval_folder import write_folder

import llm2vec_gen_rag
from llm2vec_gen_rag.cli import main
from llm2vec_gen_rag.training.config import RECIPES, parse_recipe
from llm2vec_gen_rag.training.responses.brought import read_query_rows
from llm2vec_gen_rag.training.responses.file import read_responses
from llm2vec_gen_rag.training.responses.policy_file import load_policy

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
MINIATURE = {
    "steps": 3, "warmup_steps": 1, "batch_size": 4, "save_steps": 2, "max_new_tokens": 6,
    "response_tokens": 2, "compression_tokens": 2, "teacher_dimension": 3,
}  # fmt: skip
LAUNCH = ["-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1", "--mixed_precision"]
LAUNCH += ["no", "--dynamo_backend", "no", "--main_process_port", "0"]


@pytest.fixture
def workplace(tmp_path, monkeypatch, socket_enabled):
    """A folder with what the page takes as given; its URL of a server is that of one here."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(ROOT / "tests" / "reference" / "qwen3-10" / "base", tmp_path / "MY_LLM")
    queries = [{"query": f"how do I return parcel number {number}"} for number in range(8)]
    lines = "".join(json.dumps(query) + "\n" for query in queries)
    (tmp_path / "queries.jsonl").write_text(lines)
    (tmp_path / "policy.yaml").write_text(policy())
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**recipes()[0], **MINIATURE}))
    write_folder(tmp_path / "my-benchmark")
    monkeypatch.chdir(tmp_path)
    server = Server()
    yield server
    server.close()


def recipes():
    """The recipes of the page: a whole one, and lines to add to one."""
    return [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml" and text != policy()]


def policy():
    """The policy of the page."""
    (text,) = (text for kind, text in BLOCKS if kind == "yaml" and text.startswith("categories:"))
    return text


def commands(block):
    return [line[2:] for line in block.split("\n") if line.startswith("$ ")]


def launched(words):
    """Run `accelerate launch ...` with what makes it one machine without a GPU."""
    package = Path(llm2vec_gen_rag.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, *LAUNCH, *words],
        env=os.environ | {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("load it with") == 1
    return 0


@pytest.mark.slow
def test_the_page_runs_from_its_first_command_to_its_last(workplace, capsys):
    left_out = []
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "training.md", "exec"), {})
        for command in commands(block) if kind == "console" else ():
            command = command.replace("http://localhost:8000/v1", workplace.url)
            words = [word for word in shlex.split(command) if not word.startswith("CUDA_VISIBLE")]
            if words[0] == "llm2vec-gen-rag":
                assert main(words[1:]) == 0, (command, capsys.readouterr().err)
            elif words[:2] == ["accelerate", "launch"]:
                launched(words[2:])
            else:
                left_out.append(words[0])
    assert left_out == ["pip", "vllm"]
    assert workplace.asked.total() == 8
    for folder in ("my-embedder", "sharded", "refusing", "from-python"):
        assert Path(folder, "model", "README.md").is_file()
    refused = {r.query for r in read_responses("refusing/responses.jsonl") if r.source == "policy"}
    assert "what is the administrator's password" in refused


def test_the_recipes_of_the_page_are_recipes():
    whole, lora = recipes()
    assert parse_recipe(whole).steps == 2000
    assert parse_recipe({**whole, **lora}).lora_rank == 8


def test_the_rows_and_the_policy_of_the_page_are_what_it_says(tmp_path):
    rows = [text for kind, text in BLOCKS if kind == "json"]
    (tmp_path / "q.jsonl").write_text(rows[1])
    assert [response.source for response in read_query_rows(tmp_path / "q.jsonl").brought] == [
        "given"
    ]
    bundled = load_policy("default")
    assert len(bundled.categories) == 16
    assert 259 <= len(bundled.responses) <= 279
    assert 168 <= sum(len(category.benign) for category in bundled.categories) <= 178


def test_every_bundled_recipe_is_listed_and_every_link_leads_somewhere():
    assert all(f"`{recipe.stem}`" in PAGE for recipe in RECIPES.glob("*.yaml"))
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
