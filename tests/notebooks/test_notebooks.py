"""The notebooks run from top to bottom, are short, and keep outputs that show no machine."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from installed_smollm2 import needs_smollm2

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
READ = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
LONGEST_CELL = 15
MODEL = r'MODEL = "(almanac|smollm2)"'
OF_A_MACHINE = r"/(root|home|tmp|usr|opt|var|work|Users)/|[A-Z]:\\\\|site-packages"

each_notebook = pytest.mark.parametrize("name", READ)


def code_of(name):
    return [cell.source for cell in READ[name].cells if cell.cell_type == "code"]


def outputs_of(name):
    return [output for cell in READ[name].cells for output in cell.get("outputs", [])]


def pictures_of(name):
    kept = [output.get("data", {}).get("image/png") for output in outputs_of(name)]
    return [base64.b64decode(picture) for picture in kept if picture]


def marks_of(name):
    return [needs_smollm2] * any('MODEL = "smollm2"' in source for source in code_of(name))


def test_they_are_numbered_from_1_to_7():
    assert [name.split("_")[0] for name in READ] == list("1234567")


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in READ])
def test_it_runs_from_top_to_bottom(name, tmp_path):
    """As `make notebooks` runs it; a process of its own, as the kernel listens on a port."""
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute"]
    command += ["--ExecutePreprocessor.timeout=600"]  # a cell takes seconds: ends one that hangs
    command += [str(ROOT / "notebooks" / f"{name}.ipynb"), "--output-dir", str(tmp_path)]
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, capture_output=True, env=os.environ | offline, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    again = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
    assert [cell.source for cell in again.cells] == [cell.source for cell in READ[name].cells]


@pytest.mark.slow
def test_make_writes_them_as_pages_that_load_nothing(tmp_path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^notebook-pages: .*\n\t(.*)\n", makefile, flags=re.MULTILINE)
    assert "notebook-pages" in re.search(r"^\.PHONY: (.*)", makefile, flags=re.MULTILINE)[1]
    assert "runs/\n" in (ROOT / ".gitignore").read_text(encoding="utf-8")
    name = "7_moving_a_collection"
    here = {"$(BIN)/python": sys.executable, "notebooks/*.ipynb": f"notebooks/{name}.ipynb"}
    here["runs/notebooks"] = str(tmp_path)
    command = [here.get(word, word) for word in recipe.split()]
    subprocess.run(command, check=True, cwd=ROOT)
    page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert "AdoptedCollection" in page
    assert not re.findall(r'<(?:script|link)[^>]*(?:src|href)="http[^"]*"', page)


@each_notebook
def test_one_line_names_the_model_and_it_comes_first(name):
    first, *others = code_of(name)
    assert re.match(MODEL, first)
    assert not any(re.search(MODEL, source) for source in others)
    assert not any(re.search(r"[\"'](almanac|smollm2)[\"']", source) for source in others)


@each_notebook
def test_no_cell_is_long_and_text_stands_between_the_cells(name):
    assert all(len(source.splitlines()) <= LONGEST_CELL for source in code_of(name))
    kinds = [cell.cell_type for cell in READ[name].cells]
    assert kinds[0] == kinds[-1] == "markdown"
    assert kinds.count("markdown") >= kinds.count("code") / 2


@each_notebook
def test_outputs_are_kept_without_an_error_or_a_warning(name):
    assert outputs_of(name)
    assert all(output.output_type != "error" for output in outputs_of(name))
    assert all(output.get("name") != "stderr" for output in outputs_of(name))
    ran = [cell.execution_count for cell in READ[name].cells if cell.cell_type == "code"]
    assert ran == list(range(1, len(ran) + 1))


@each_notebook
def test_nothing_kept_names_a_machine_or_is_a_bare_object(name):
    texts = [cell.source for cell in READ[name].cells]
    for output in outputs_of(name):
        data = output.get("data", {})
        texts += [output.get("text", ""), *(data[kind] for kind in data if "image" not in kind)]
    for text in texts:
        assert not re.search(OF_A_MACHINE, text)
        assert not re.search(r"<\S+ object at 0x", text)


@each_notebook
def test_the_readme_links_it_and_shows_a_picture_of_it_if_it_has_one(name):
    assert f"(notebooks/{name}.ipynb)" in README
    picture = ROOT / "docs" / "plots" / f"notebook.{name.split('_')[0]}.png"
    assert (f"(docs/plots/{picture.name})" in README) == bool(pictures_of(name))
    assert not pictures_of(name) or picture.read_bytes() in pictures_of(name)


def test_the_pictures_of_the_readme_are_small():
    shown = list((ROOT / "docs" / "plots").glob("notebook.*.png"))
    assert sum(picture.stat().st_size for picture in shown) < 600_000
