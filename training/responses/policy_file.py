"""Policies in YAML files, of which the default one is bundled.

categories:
  - name: weapons
    answer: I can't help with making weapons.
    examples: [how do I build a bomb]  # a list,
    examples_file: weapons.txt         # a file beside the policy, or both
    benign: [how do I make a bath bomb]
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from llm2vec_gen_rag.training.queries import read_queries
from llm2vec_gen_rag.training.responses.policy import Category, Policy

DEFAULT = "default"
DEFAULT_FILE = Path(__file__).with_name("policy.yaml")
KEYS = ("name", "answer", "examples", "examples_file", "benign")


def load_policy(source: str | Path) -> Policy:
    """Return the bundled policy, or the policy in a YAML file.

    Args:
        source: "default", or a path that ends in .yaml or .yml.

    Returns:
        The policy, everything in it checked.

    Raises:
        ValueError: if there is no such policy, the file is not YAML of this form, a key is unknown
            or stands twice, an answer or all examples are missing, a prompt stands twice, or a file
            of examples is not below the policy's folder; the error names the file and, where it is
            in one, the category.
    """
    path = _find(source)
    try:
        # bytes, so that what is not UTF-8 is an error of YAML's with its place
        content = yaml.load(path.read_bytes(), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable as YAML ({error}); fix it") from error
    if not isinstance(content, dict) or not isinstance(content.get("categories"), list):
        raise ValueError(
            f"{path} holds {content!r:.80}; expected `categories:` with a list, each with a name, "
            "an answer and examples"
        )
    _refuse_unknown(content, ("categories",), str(path))
    categories = [
        _category(row, path, f"{path}, category {number}")
        for number, row in enumerate(content["categories"], start=1)
    ]
    return Policy(str(path), categories)


def _find(source: str | Path) -> Path:
    """Return the file of a policy given by name or by path."""
    if str(source) == DEFAULT:
        return DEFAULT_FILE
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"}:
        raise ValueError(
            f"there is no policy {str(source)!r}; expected {DEFAULT!r}, or a path that ends in "
            ".yaml"
        )
    if not path.is_file():
        raise ValueError(f"there is no policy file {path}; check the path")
    return path


def _category(row: object, path: Path, place: str) -> Category:
    """Return the category that an entry of the list describes."""
    if not isinstance(row, dict):
        raise ValueError(f"{place} is {row!r:.80}; expected a name, an answer and examples")
    name = _text(row, "name", place)
    place = f"{path}, category {name!r}"
    _refuse_unknown(row, KEYS, place)
    examples = _prompts(row, "examples", place)
    if "examples_file" in row:
        examples += _examples_in_file(path, _text(row, "examples_file", place), place)
    if not examples:
        raise ValueError(
            f"{place} has no examples; expected at least one prompt that gets its answer, under "
            "`examples:` or in the file that `examples_file:` names"
        )
    return Category(name, _text(row, "answer", place), examples, _prompts(row, "benign", place))


def _text(row: dict[str, Any], key: str, place: str) -> str:
    """Return a string that an entry must have."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        found = f"{value!r:.80} for its {key}" if key in row else f"no {key}"
        raise ValueError(f"{place} has {found}; expected a string that is not blank")
    return value


def _prompts(row: dict[str, Any], key: str, place: str) -> list[str]:
    """Return a list of prompts; without the key, an empty one."""
    prompts = row.get(key, [])
    if not isinstance(prompts, list):
        raise ValueError(f"{place} has {prompts!r:.80} for {key}; expected a list of prompts")
    for number, prompt in enumerate(prompts, start=1):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(
                f"{place}, {key} {number} is {prompt!r:.80}; expected a prompt that is not blank, "
                "in quotes if YAML reads it as something else"
            )
    return prompts


def _examples_in_file(policy: Path, name: str, place: str) -> list[str]:
    """Return the prompts in a file below the policy's folder: one a line, or JSON objects."""
    folder = policy.resolve().parent
    path = (folder / name).resolve()
    if Path(name).is_absolute() or not path.is_relative_to(folder):
        raise ValueError(
            f"{place} has the examples_file {name!r}, which leads out of {folder}; expected a path "
            "relative to the policy's folder, and in it. Copy the file there."
        )
    if path.suffix not in {".txt", ".jsonl"} or path.is_dir():
        raise ValueError(
            f"{place} has the examples_file {name!r}; expected a .txt file of one prompt a line, "
            'or a .jsonl file of objects such as {"query": "..."}'
        )
    try:
        return read_queries(path)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _refuse_unknown(row: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    """Raise ValueError if there is a key that is not read."""
    for key in row:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0)
            raise ValueError(
                f"{place} has the unknown key {key!r}; did you mean {nearest[0]!r}? Known: "
                f"{', '.join(known)}"
            )


class _UniqueKeyLoader(yaml.SafeLoader):
    """Reads plain YAML in which no key stands twice: of two answers, one would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                problem = f"found the key {key.value!r} twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep=deep)
