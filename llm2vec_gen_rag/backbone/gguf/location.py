"""Whether a base model's name is that of a GGUF file, and where the file is."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from llm2vec_gen_rag.arguments import is_path
from llm2vec_gen_rag.backbone.gguf.header import MAGIC, not_readable
from llm2vec_gen_rag.errors import BaseModelError, first_line

_SUFFIX = ".gguf"
# weights that transformers reads itself; a folder with them is loaded as any other
_OTHER_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")


def find_gguf(
    base_model: str,
    *,
    token: str | None = None,
    cache_folder: str | None = None,
    local_files_only: bool = False,
) -> Path | None:
    """Find the GGUF file that a base model's name means, and download it if it is on the hub.

    Args:
        base_model: a file, a folder with one GGUF file and no other weights, or a file on the hub
            as "owner/name/file.gguf".
        token: for the hub.
        cache_folder: where downloads are kept.
        local_files_only: whether to stay off the network.

    Returns:
        The file; None if the name is that of another kind of base model.

    Raises:
        BaseModelError: if the file is nowhere or cannot be read, or the folder has several.
    """
    path = Path(base_model)
    try:
        if path.is_file():
            return path if path.suffix == _SUFFIX or _begins_as_gguf(path) else None
        if path.is_dir():
            return _only_file_in(path)
    except OSError as error:  # a name that is too long, or no permission
        raise BaseModelError(not_readable(path, error)) from error
    if not base_model.endswith(_SUFFIX):
        return None
    parts = base_model.split("/", 2)
    if is_path(base_model) or len(parts) < 3:
        raise BaseModelError(_nowhere(base_model, "there is no such file here"))
    try:
        downloaded = hf_hub_download(
            "/".join(parts[:2]),
            parts[2],
            token=token,
            cache_dir=cache_folder,
            local_files_only=local_files_only,
        )
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        raise BaseModelError(_nowhere(base_model, first_line(error))) from error
    return Path(downloaded)


def _begins_as_gguf(path: Path) -> bool:
    """Return whether a file has the magic, as those that Ollama keeps under a hash for a name."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def _only_file_in(folder: Path) -> Path | None:
    """Return the GGUF file of a folder without other weights; None if it has none."""
    files = sorted(folder.glob(f"*{_SUFFIX}"))
    if not files or any(any(folder.glob(pattern)) for pattern in _OTHER_WEIGHTS):
        return None
    if len(files) > 1:
        raise BaseModelError(
            f"the base model {str(folder)!r} is a folder with {len(files)} GGUF files: "
            f"{', '.join(file.name for file in files)}; expected one. Pass base_model= with the "
            f"path of one, such as {str(files[0])!r}."
        )
    return files[0]


def _nowhere(base_model: str, reason: str) -> str:
    return (
        f"the base model {base_model!r} cannot be found ({reason}). Expected a GGUF file: pass "
        "base_model= with its path, or for one on the hub 'owner/name/file.gguf'."
    )
