"""Read the small files of a checkpoint, JSON and YAML, as plain data and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError

from llm2vec_gen_rag.errors import CheckpointError, StorageError

_PYTHON_NAME = "tag:yaml.org,2002:python/name:"


class _PlainLoader(yaml.SafeLoader):
    """Reads every tag that is not plain YAML as the plain value under it.

    `run_config.yml` is a dump of a training run's Python objects. What a tag would construct is
    never constructed: the scalar, list or mapping that it stands on is returned instead.
    """


def _plain(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if tag.startswith(_PYTHON_NAME):  # `!!python/name:torch.bfloat16 ''` says it all in its tag
        return tag.removeprefix(_PYTHON_NAME)
    return node.value


_PlainLoader.add_multi_constructor("", _plain)


def require_file(path: Path) -> Path:
    """Return the path of a file that a checkpoint must have.

    Raises:
        CheckpointError: if there is no such file.
    """
    if path.is_file():
        return path
    raise CheckpointError(
        f"{path} is missing. A checkpoint in the published format has run_config.yml, the "
        "tokenizer files, encoder/config.json, encoder/adapter_config.json, "
        "encoder/adapter_model.safetensors, reconstruction_mlp and alignment_mlp. Download or "
        "save it again, or check that the path names the checkpoint's own folder."
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        CheckpointError: if the file is missing, half-written or not a JSON object.
    """
    try:
        content = json.loads(require_file(path).read_bytes())
    except ValueError as error:
        raise _broken(path, "JSON", error) from error
    return _require_mapping(path, content)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, with every Python object in it read as plain data.

    Raises:
        CheckpointError: if the file is missing, half-written or not a mapping.
    """
    try:
        # bytes, so that the encoding is YAML's to find, and no tag but a plain one is constructed
        content = yaml.load(require_file(path).read_bytes(), Loader=_PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _broken(path, "YAML", error) from error
    return _require_mapping(path, content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which then takes the place of `path`: whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """Write a YAML file that holds nothing but plain data."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _broken(path: Path, language: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is not readable as {language} ({error}); it may be half-written. "
        "Download or save the checkpoint again."
    )


def _require_mapping(path: Path, content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected a mapping of names to values. "
            "Download or save the checkpoint again."
        )
    return content


@contextmanager
def storing(what: str, kept: str, *others: type[Exception]) -> Iterator[None]:
    """Name what could not be written, what is kept, and what to do.

    Args:
        what: what the block writes, with its path.
        kept: what is not lost, as a clause.
        others: what a writer raises for a failure of the disk, beside OSError and safetensors' own.

    Raises:
        StorageError: in place of what the block raises.
    """
    failures: tuple[type[Exception], ...] = (OSError, SafetensorError, *others)
    try:
        yield
    except failures as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{what} cannot be written ({reason}); {kept}. Make room, mend the folder's "
            "permissions or choose another folder, and run the same again."
        ) from error
