"""The weight of hybrid search for a local retrieval set."""

from __future__ import annotations

import numpy as np

from llm2vec_gen_rag.evaluation.beir_folder import FolderTask
from llm2vec_gen_rag.evaluation.hybrid import TunedHybrid, tune, word_scores
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.qdrant.hybrid.fusion import WEIGHT


def tune_folder(
    model: LLM2VecGen,
    task: FolderTask,
    *,
    instruction: str | None = None,
    max_length: int = 512,
    show_progress: bool = False,
) -> TunedHybrid:
    """Fit the weight of hybrid search on the judged queries of a folder.

    Args:
        model: the model.
        task: the set.
        instruction: put before every query; None takes the model's own for retrieval.
        max_length: see `LLM2VecGen.encode`.
        show_progress: whether to show progress bars.

    Returns:
        The weight, and the figures of embedding, words and hybrid.

    Raises:
        ValueError: if the folder has too few judged queries.
    """
    data = task.dataset["default"][task.eval_splits[0]]
    documents = [f"{row['title']} {row['text']}".strip() for row in data["corpus"]]
    queries = [row["text"].strip() for row in data["queries"]]
    place = {name: number for number, name in enumerate(data["corpus"]["id"])}
    relevant = [
        {place[name]: grade for name, grade in data["relevant_docs"][query].items() if grade > 0}
        for query in data["queries"]["id"]
    ]
    if instruction is None:
        instruction = model.prompts.for_query("retrieval")
    asked = model.encode(
        queries, instruction=instruction, max_length=max_length, show_progress=show_progress
    )
    found = model.encode_document(documents, max_length=max_length, show_progress=show_progress)
    cosines = np.asarray(asked @ found.T, dtype=np.float64)
    return tune(task.metadata.name, cosines, word_scores(queries, documents), relevant, WEIGHT)
