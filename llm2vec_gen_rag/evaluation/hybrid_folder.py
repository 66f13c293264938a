"""The weight of hybrid search for a local retrieval set."""

from __future__ import annotations

from llm2vec_gen_rag.evaluation.beir_folder import FolderTask
from llm2vec_gen_rag.evaluation.folder_texts import FolderTexts
from llm2vec_gen_rag.evaluation.hybrid import TunedHybrid, tune
from llm2vec_gen_rag.evaluation.word_scores import word_scores
from llm2vec_gen_rag.model import LLM2VecGen, require_model
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
        ValueError: if the folder has too few judged queries, or the model is no loaded one.
    """
    require_model(model)
    texts = FolderTexts.of(task)
    cosines = texts.cosines(
        model, instruction=instruction, max_length=max_length, show_progress=show_progress
    )
    words = word_scores(texts.queries, texts.documents)
    return tune(texts.name, cosines, words, texts.relevant, WEIGHT)
