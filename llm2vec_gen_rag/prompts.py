"""The instructions that precede a text, by side (query or document) and by task.

The method embeds what the LLM would answer, so an instruction decides which answer that is: a query
asks for a passage, a document for its summary. The defaults are the published ones: retrieval and
documents from the README of the reference package, the other tasks from tables 7 and 8 of arXiv
2603.10913v2. A checkpoint trained with other instructions has them in `prompts.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.files import write_json

PROMPTS_FILE = "prompts.json"

DOCUMENT_INSTRUCTION = "Summarize the following passage: "

# with underscores, as in the published runs (`retrieval_hf_llm2vecgen` in scripts/bright_eval of
# the reference repository); table 8 of the paper prints a space instead
_BRIGHT_POSTS = (
    "biology",
    "earth_science",
    "economics",
    "psychology",
    "robotics",
    "stackoverflow",
    "sustainable_living",
)

QUERY_INSTRUCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "retrieval": "Generate a passage that best answers this question: ",
        "advbench": "Generate a relevant document that answers this query: ",
        "claims": "Generate text that supports or refutes this claim: ",
        "sts": "Generate text that is semantically similar to this text: ",
        "summarization": "Generate a concise and faithful summary of this article: ",
        **{
            f"bright/{topic}": (
                f"Given a {topic} post, generate relevant passages that help answer the post: "
            )
            for topic in _BRIGHT_POSTS
        },
        "bright/pony": (
            "Given a pony question, generate relevant passages that help answer the question: "
        ),
        "bright/leetcode": (
            "Given a coding problem, generate relevant examples that help answer the problem: "
        ),
        "bright/aops": (
            "Given a Math problem, generate relevant examples that help answer the problem: "
        ),
        "bright/theoremqa_questions": (
            "Given a Math problem, generate relevant examples that help answer the problem: "
        ),
        "bright/theoremqa_theorems": (
            "Given a Math problem, only find the relevant theorems that help answer the problem, "
            "I don't want the answer to the problem: "
        ),
    }
)


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
            task: a name in `query`.

        Returns:
            The instruction.

        Raises:
            ValueError: if the task is unknown.
        """
        if task not in self.query:
            raise ValueError(
                f"unknown task {task!r}; known tasks: {', '.join(sorted(self.query))}. For any "
                "other, call encode(texts, instruction=...) with your own instruction."
            )
        return self.query[task]

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
