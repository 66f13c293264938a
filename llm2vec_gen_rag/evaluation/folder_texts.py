"""The texts of a local retrieval set, as MTEB reads them, and which documents are relevant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.evaluation.beir_folder import FolderTask
from llm2vec_gen_rag.model import LLM2VecGen


@dataclass(frozen=True)
class FolderTexts:
    """What a folder holds.

    Attributes:
        name: of the folder.
        documents: title and text of each.
        queries: text of each that has a relevant document.
        relevant: of each query, the relevance of its relevant documents, by place.
    """

    name: str
    documents: list[str]
    queries: list[str]
    relevant: list[dict[int, int]]

    @classmethod
    def of(cls, task: FolderTask) -> FolderTexts:
        """Return the texts of a set."""
        data = task.dataset["default"][task.eval_splits[0]]
        place = {name: number for number, name in enumerate(data["corpus"]["id"])}
        return cls(
            name=task.metadata.name,
            documents=[f"{row['title']} {row['text']}".strip() for row in data["corpus"]],
            queries=[row["text"].strip() for row in data["queries"]],
            relevant=[
                {
                    place[name]: grade
                    for name, grade in data["relevant_docs"][query].items()
                    if grade > 0
                }
                for query in data["queries"]["id"]
            ],
        )

    def cosines(
        self,
        model: LLM2VecGen,
        *,
        instruction: str | None = None,
        max_length: int = 512,
        show_progress: bool = False,
    ) -> npt.NDArray[np.float64]:
        """Return the cosine of each query's embedding with each document's.

        Args:
            model: the model.
            instruction: put before every query; None takes the model's own for retrieval.
            max_length: see `LLM2VecGen.encode`.
            show_progress: whether to show progress bars.

        Returns:
            (queries, documents).
        """
        if instruction is None:
            instruction = model.prompts.for_query("retrieval")
        asked = model.encode(
            self.queries,
            instruction=instruction,
            max_length=max_length,
            show_progress=show_progress,
        )
        found = model.encode_document(
            self.documents, max_length=max_length, show_progress=show_progress
        )
        return np.asarray(asked @ found.T, dtype=np.float64)
