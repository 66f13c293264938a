"""The instructions of one checkpoint: its own from `prompts.json`, else the published ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.files import write_json
from llm2vec_gen_rag.prompts.mteb import MTEB_INSTRUCTIONS, MTEB_ONE_SIDED
from llm2vec_gen_rag.prompts.published import (
    DOCUMENT_INSTRUCTION,
    ONE_SIDED_TASKS,
    QUERY_INSTRUCTIONS,
)

PROMPTS_FILE = "prompts.json"

_MTEB = "mteb/"  # before the name of a task there


@dataclass(frozen=True)
class Prompts:
    """The instructions of one checkpoint; each precedes a text with no space added.

    Attributes:
        query: instruction by task name.
        document: the instruction of every document.
    """

    query: Mapping[str, str] = field(default_factory=lambda: QUERY_INSTRUCTIONS)
    document: str = DOCUMENT_INSTRUCTION

    def __post_init__(self) -> None:
        """Refuse anything but strings, so that a broken file is reported before it is used."""
        if not isinstance(self.document, str) or not isinstance(self.query, Mapping):
            raise ValueError(
                "prompts must be {'query': {task: instruction}, 'document': instruction}; "
                f"got query={self.query!r}, document={self.document!r}"
            )
        wrong = {
            task: instruction
            for task, instruction in self.query.items()
            if not (isinstance(task, str) and isinstance(instruction, str))
        }
        if wrong:
            raise ValueError(f"query instructions must be strings by task name; got {wrong!r}")

    def for_query(self, task: str) -> str:
        """Look up the instruction of queries.

        Args:
            task: a name in `query`, or "mteb/" and the name of one of the 41 tasks of the paper's
                benchmark, such as "mteb/Banking77Classification".

        Returns:
            The instruction.

        Raises:
            ValueError: if the task is unknown.
        """
        if task in self.query:
            return self.query[task]
        if task.startswith(_MTEB) and task.removeprefix(_MTEB) in MTEB_INSTRUCTIONS:
            return MTEB_INSTRUCTIONS[task.removeprefix(_MTEB)]
        raise ValueError(
            f"unknown task {task!r}; known tasks: {', '.join(sorted(self.query))}, and mteb/NAME "
            "for the tasks of MTEB(eng, v2). For any other, pass instruction= with your own."
        )

    def for_document(self, task: str) -> str:
        """Look up the instruction of what a task compares its queries with.

        Args:
            task: see `for_query`.

        Returns:
            That of documents; that of the task where all texts are of one kind, as in clustering,
            classification and semantic similarity.

        Raises:
            ValueError: if the task is unknown.
        """
        query = self.for_query(task)
        one_sided = task in ONE_SIDED_TASKS or task.removeprefix(_MTEB) in MTEB_ONE_SIDED
        return query if one_sided else self.document

    @classmethod
    def from_folder(cls, folder: Path) -> Prompts:
        """Read the prompts of a checkpoint from its `prompts.json`.

        Args:
            folder: the checkpoint.

        Returns:
            The file's prompts; the published ones where the file lacks a side or does not exist.

        Raises:
            CheckpointError: if the file is not what `save` writes.
        """
        path = folder / PROMPTS_FILE
        if not path.is_file():
            return cls()
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f'{path} is not of the form {{"query": {{task: instruction}}, "document": '
                f"instruction}}: {error}. Fix it, or delete it to use the published instructions."
            ) from error

    def save(self, folder: Path) -> None:
        """Write `prompts.json` into a folder."""
        prompts = {"query": dict(self.query), "document": self.document}
        write_json(folder / PROMPTS_FILE, prompts)
