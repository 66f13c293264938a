"""Import a module in a fresh process in which another one is not installed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib, sys

hidden, imported = sys.argv[1:]

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
import llm2vec_gen_rag
from llm2vec_gen_rag.errors import MissingExtraError
try:
    importlib.import_module(imported)
except MissingExtraError as error:
    assert isinstance(error, ImportError)
    print(error)
"""


def import_without(hidden, imported):
    """Run the import; what `MissingExtraError` says is on standard output."""
    arguments = [sys.executable, "-c", PROGRAM, hidden, imported]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)
