"""A retrieval set in a local folder of the BEIR layout, measured by the same code as MTEB's tasks.

corpus.jsonl     {"_id", "text"}, and "title" if there are titles
queries.jsonl    {"_id", "text"}, or queries_SPLIT.jsonl
qrels.tsv        query-id, corpus-id, score; or qrels_SPLIT.tsv, or qrels/SPLIT.tsv
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.arguments import folder_path
from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.evaluation.json_lines import read_rows
from llm2vec_gen_rag.evaluation.qrels import read_qrels
from llm2vec_gen_rag.model import LLM2VecGen, require_model

require_extra("eval", "mteb")

from datasets import Dataset  # noqa: E402
from mteb.abstasks import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402

from llm2vec_gen_rag.evaluation.mteb_encoder import MtebEncoder, run_tasks  # noqa: E402

METRICS = ("ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10")
QUERIES = ("queries_{split}.jsonl", "queries.jsonl")
QRELS = ("qrels_{split}.tsv", "qrels.tsv", "qrels/{split}.tsv")


class FolderTask(AbsTaskRetrieval):  # type: ignore[misc]
    """A retrieval task of the `mteb` library that reads its data from a folder."""

    def __init__(self, folder: str | PathLike[str], split: str = "test") -> None:
        """Read a folder.

        Args:
            folder: in the layout that the module describes.
            split: which queries and qrels, if the folder holds several.

        Raises:
            ValueError: if a file is missing, is not as described, or the files disagree, or the
                folder is no path.
        """
        folder = folder_path(folder)
        name = folder.resolve().name
        self.metadata = TaskMetadata(
            name=name,
            dataset={"path": name, "revision": "local"},
            description=f"The local BEIR folder {name}.",
            type="Retrieval",
            category="t2t",
            eval_splits=[split],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )
        super().__init__()
        corpus = read_rows(folder / "corpus.jsonl", "_id", "text")
        queries = read_rows(_first(folder, QUERIES, split), "_id", "text")
        relevant = read_qrels(_first(folder, QRELS, split), _ids(corpus), _ids(queries))
        data = {
            "corpus": _dataset(corpus, "title"),
            "queries": _dataset([query for query in queries if query["_id"] in relevant]),
            "relevant_docs": relevant,
            "top_ranked": None,
        }
        self.dataset = {"default": {split: data}}
        self.data_loaded = True
        self.documents, self.questions = len(corpus), len(relevant)


@dataclass(frozen=True)
class FolderReport:
    """The figures of a model on a folder.

    Attributes:
        folder: its name.
        documents: the number of documents.
        queries: the number of queries with a relevant document.
        instruction: put before each query.
        scores: by metric, in [0, 1].
    """

    folder: str
    documents: int
    queries: int
    instruction: str
    scores: dict[str, float]


def evaluate_folder(
    model: LLM2VecGen,
    task: FolderTask,
    *,
    instruction: str | None = None,
    max_length: int = 512,
    show_progress: bool = False,
) -> FolderReport:
    """Measure a model on a local retrieval set.

    Args:
        model: the model.
        task: the set.
        instruction: put before every query; None takes the model's own for retrieval.
        max_length: see `LLM2VecGen.encode`.
        show_progress: whether to show progress bars.

    Returns:
        The scores by metric.

    Raises:
        ValueError: if it is no loaded model.
    """
    require_model(model)
    if instruction is None:
        instruction = model.prompts.for_query("retrieval")
    encoder = MtebEncoder(model, {task.metadata.name: instruction}, max_length)
    (result,) = run_tasks(encoder, [task], show_progress=show_progress)
    (scores,) = result.scores[task.eval_splits[0]]
    return FolderReport(
        folder=task.metadata.name,
        documents=task.documents,
        queries=task.questions,
        instruction=instruction,
        scores={metric: float(scores[metric]) for metric in METRICS},
    )


def folder_table(reports: Sequence[FolderReport]) -> str:
    """Return the reports as a Markdown table."""
    lines = [
        f"| folder | documents | queries | {' | '.join(METRICS)} |",
        "|---" * (3 + len(METRICS)) + "|",
    ]
    for report in reports:
        scores = " | ".join(f"{report.scores[metric]:.3f}" for metric in METRICS)
        lines.append(f"| {report.folder} | {report.documents} | {report.queries} | {scores} |")
    return "\n".join(lines)


def _first(folder: Path, names: Sequence[str], split: str) -> Path:
    """Return the first of several names that exists."""
    paths = [folder / name.format(split=split) for name in names]
    for path in paths:
        if path.is_file():
            return path
    tried = ", ".join(str(path.relative_to(folder)) for path in paths)
    raise ValueError(
        f"{folder} holds none of {tried}; expected a folder in the BEIR layout. Check the path, or "
        "name the split with --split."
    )


def _ids(rows: Sequence[dict[str, Any]]) -> set[str]:
    ids = {row["_id"] for row in rows}
    if len(ids) != len(rows):
        raise ValueError(
            f"{len(rows)} rows have {len(ids)} different _id; expected each once, such as "
            f"{rows[0]['_id']!r}. Remove the repeated rows."
        )
    return ids


def _dataset(rows: Sequence[dict[str, Any]], *optional: str) -> Dataset:
    columns = {"id": [row["_id"] for row in rows], "text": [row["text"] for row in rows]}
    columns |= {field: [row.get(field) or "" for row in rows] for field in optional}
    return Dataset.from_dict(columns)
