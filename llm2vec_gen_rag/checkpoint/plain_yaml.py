"""YAML as plain data and nothing else: `run_config.yml` is a dump of Python objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.files import require_file, require_mapping, unreadable, write_text

_PYTHON_NAME = "tag:yaml.org,2002:python/name:"


class _PlainLoader(yaml.SafeLoader):
    """Reads every tag that is not plain YAML as the plain value under it.

    What a tag would construct is never constructed: its scalar, list or mapping is returned.
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


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file of a checkpoint, every Python object read as plain data.

    Args:
        path: the file.

    Returns:
        Its values by name.

    Raises:
        CheckpointError: if the file is missing, half-written or not a mapping.
    """
    try:
        # bytes, so that the encoding is YAML's to find, and no tag but a plain one is constructed
        content = yaml.load(require_file(path).read_bytes(), Loader=_PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CheckpointError(unreadable(path, "YAML", error)) from error
    return require_mapping(path, content)


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """Write a YAML file that holds nothing but plain data, whole or not at all."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
