"""Set up the reference package in an environment of its own, `.venv-reference`.

python -m benchmarks.reference_environment

The package is installed without its dependencies, which pin an older torch and a CUDA library. What
it imports to embed, decode and train is installed with it, in the versions that computed its
reference values. It is measured against, and never a dependency of this package.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).parent.parent / ".venv-reference"
PYTHON = FOLDER / "bin" / "python"
REFERENCE = "llm2vec-gen==0.1.3"
IMPORTED_BY_IT = ["torch==2.13.0", "transformers==4.56.2", "peft==0.18.0", "pyyaml", "numpy"]


def install() -> None:
    """Make the environment, or complete one that exists."""
    venv.create(FOLDER, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *IMPORTED_BY_IT], check=True)
    subprocess.run([*pip, "--no-deps", REFERENCE], check=True)


def reference_python() -> str:
    """Return the interpreter that has the reference package; raise if it is not set up."""
    if not PYTHON.is_file():
        raise FileNotFoundError(
            f"{PYTHON} does not exist; expected the environment of the reference package. Set it "
            "up with: python -m benchmarks.reference_environment"
        )
    return str(PYTHON)


if __name__ == "__main__":
    install()
    print(f"{REFERENCE} in {FOLDER}", file=sys.stderr)
