"""The folder of a run: what each stage of training writes for the next.

responses.jsonl                    the answers; of shards, responses-1-of-4.jsonl and so on
responses.model.json               which LLM answers, and how it was asked
responses.unfinished               exists until the responses stage has finished
teacher/                           the teacher, if it was fitted on these answers
teacher_vectors.safetensors        its vectors of the answers
model/                             the trained model, in the published format
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.files import storing
from llm2vec_gen_rag.training.folder_lock import written_by_one
from llm2vec_gen_rag.training.responses.file import read_origin, read_run
from llm2vec_gen_rag.training.responses.response import Source
from llm2vec_gen_rag.training.responses.shards import Shard, run_files

RESPONSES_FILE = "responses.jsonl"
TEACHER_FOLDER = "teacher"
VECTORS_FILE = "teacher_vectors.safetensors"
MODEL_FOLDER = "model"
KEPT = "what is in it is kept"


@dataclass(frozen=True)
class AnsweredQueries:
    """The responses in a folder, as the later stages read them.

    They are sorted by query, so that the trained model does not depend on the order in which shards
    and batches were answered.

    Attributes:
        queries: the queries, without their instruction.
        answers: the answer to each.
        sources: who answered each: the LLM, the query's own row, or a policy.
        origin: which LLM answered and how it was asked, as recorded beside the responses.
    """

    queries: list[str]
    answers: list[str]
    sources: list[Source]
    origin: dict[str, Any]

    @property
    def instruction(self) -> str:
        """What preceded every query when the LLM was asked."""
        return str(self.origin["instruction"])

    @property
    def questions(self) -> list[str]:
        """The instruction followed by each query, as it will be embedded."""
        return [self.instruction + query for query in self.queries]


@contextmanager
def answering(
    folder: Path, queries: Sequence[str], shard: Shard | None
) -> Iterator[tuple[Path, Sequence[str]]]:
    """Mark the responses of a run, or of one shard, as unfinished until the block has succeeded.

    Args:
        folder: of the run; made if need be.
        queries: all queries of the run.
        shard: which part of the queries to answer; None answers all.

    Yields:
        The file to write responses to, and the queries to answer.

    Raises:
        ValueError: if the shard is empty, or several processes were launched.
        StorageError: if the folder cannot be written to, or another process answers these queries.
    """
    require_one_process("responses", "give each GPU or machine a shard of its own")
    path = folder / RESPONSES_FILE
    if shard is not None:
        path, queries = shard.path(path), shard.of(queries)
    mark = _mark(path)
    begun, existed = mark.exists(), path.exists()
    with storing(f"the folder of the run {folder}", KEPT):
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    try:
        with written_by_one(mark, "another process"):
            yield path, queries
    except ValueError:  # refused before a query was asked: finished responses are still finished
        if not begun and path.exists() == existed:
            mark.unlink()
        raise
    # a run without shards has answered the queries of all its shards
    with storing(f"the folder of the run {folder}", KEPT):
        for file in [path] if shard is not None else [path, *run_files(path)]:
            _mark(file).unlink(missing_ok=True)


def read_answered_queries(folder: Path, queries: Sequence[str] | None = None) -> AnsweredQueries:
    """Return the responses in a folder, those of all shards.

    Args:
        folder: of the run.
        queries: those whose responses to read; None reads all.

    Returns:
        At least one query with its answer.

    Raises:
        ValueError: if responses are missing, unfinished, or cannot be read.
    """
    path = folder / RESPONSES_FILE
    files = run_files(path)
    if not files:
        raise ValueError(
            f"there are no responses in {folder}; write them first: llm2vec-gen-rag train "
            f"responses --queries FILE --output {folder}"
        )
    _require_whole(folder, files)
    found = {response.query: response for response in read_run(path)}
    wanted = sorted(found if queries is None else queries)
    missing = [query for query in wanted if query not in found]
    if missing or not wanted:
        such = f", such as {missing[0][:80]!r}," if missing else ""
        raise ValueError(
            f"{len(missing)} of {len(wanted)} queries{such} have no response in {path} or its "
            "shards; run the responses stage again, with these queries"
        )
    responses = [found[query] for query in wanted]
    return AnsweredQueries(
        wanted,
        [response.response for response in responses],
        [response.source for response in responses],
        read_origin(files[0]),
    )


def require_one_process(stage: str, advice: str) -> None:
    """Raise ValueError if a stage was launched in several processes, which would write one file.

    Args:
        stage: the stage that was called.
        advice: what to do instead of launching it.

    Raises:
        ValueError: if there are several processes.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise ValueError(
            f"the {stage} stage was launched in {processes} processes; expected one: {advice}. "
            "Only `train fit` is for accelerate launch."
        )


def _mark(path: Path) -> Path:
    """Return the file whose existence says that a file of responses is unfinished."""
    return path.with_name(path.name.removesuffix(".jsonl") + ".unfinished")


def _require_whole(folder: Path, files: Sequence[Path]) -> None:
    """Raise ValueError if a file of responses is unfinished, or a shard is missing."""
    unfinished = [file for file in files if _mark(file).exists()]
    if unfinished:
        file = unfinished[0]
        raise ValueError(
            f"the responses in {file} are unfinished: wait for the stage that writes them, or run "
            "the same `train responses` again, which resumes. To train on those written so far, "
            f"delete {_mark(file).name}."
        )
    counts = {shard.count for file in files if (shard := Shard.of_file(file)) is not None}
    if folder / RESPONSES_FILE in files:
        return
    for count in counts:
        for index in range(1, count + 1):
            shard = Shard(index, count)
            if shard.path(folder / RESPONSES_FILE) not in files:
                raise ValueError(
                    f"the responses of shard {index}/{count} are missing in {folder}; run "
                    f"`train responses` with --shard {index}/{count}, or copy its files "
                    "there"
                )
