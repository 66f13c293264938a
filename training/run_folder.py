"""The folder of a run: what each stage of training leaves in it for the next.

responses.jsonl                    the LLM's answers; of shards, responses-1-of-4.jsonl and so on
responses.model.json               which LLM wrote them, and how it was asked
responses.unfinished               there until the responses stage has come to its end
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
from llm2vec_gen_rag.training.responses.file import read_origin, read_run
from llm2vec_gen_rag.training.responses.shards import Shard, run_files

RESPONSES_FILE = "responses.jsonl"
TEACHER_FOLDER = "teacher"
VECTORS_FILE = "teacher_vectors.safetensors"
MODEL_FOLDER = "model"
KEPT = "what is in it is kept"


@dataclass(frozen=True)
class AnsweredQueries:
    """The responses of a folder, in the order in which the later stages read them.

    The order is that of the queries' characters: it does not depend on which shard or batch gave a
    response first, and neither does what is trained.

    Attributes:
        queries: the queries, without their instruction.
        answers: the LLM's answer to each.
        origin: which LLM answered, and how it was asked, as recorded beside the responses.
    """

    queries: list[str]
    answers: list[str]
    origin: dict[str, Any]

    @property
    def instruction(self) -> str:
        """What stood before every query when the LLM was asked."""
        return str(self.origin["instruction"])

    @property
    def questions(self) -> list[str]:
        """Each query behind its instruction, as it will be embedded."""
        return [self.instruction + query for query in self.queries]


@contextmanager
def answering(folder: Path, shard: Shard | None) -> Iterator[Path]:
    """Give the file to write responses to, marked as unfinished until the block has ended well.

    Args:
        folder: of the run; made if need be.
        shard: which part of the run is written; None writes the whole.

    Raises:
        StorageError: if the folder cannot be written to.
    """
    path = folder / RESPONSES_FILE
    path = path if shard is None else shard.path(path)
    mark = _mark(path)
    begun = mark.exists()
    with storing(f"the folder of the run {folder}", KEPT):
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    try:
        yield path
    except ValueError:  # refused before a query was asked: what was whole before still is
        if not begun:
            mark.unlink()
        raise
    # whoever has answered all the queries has answered those of every shard
    with storing(f"the folder of the run {folder}", KEPT):
        for file in [path] if shard is not None else [path, *run_files(path)]:
            _mark(file).unlink(missing_ok=True)


def read_answered(folder: Path, queries: Sequence[str] | None = None) -> AnsweredQueries:
    """Return the responses of a folder, those of all shards.

    Args:
        folder: of the run.
        queries: those whose responses are wanted; None wants all.

    Raises:
        ValueError: if there are none, not all of them, or they cannot be read.
    """
    path = folder / RESPONSES_FILE
    files = run_files(path)
    if not files:
        raise ValueError(
            f"there are no responses in {folder}; write them first: llm2vec-gen-rag train "
            f"responses --queries FILE --output {folder}"
        )
    _require_whole(folder, files)
    found = {response.query: response.response for response in read_run(path)}
    wanted = sorted(found if queries is None else queries)
    missing = [query for query in wanted if query not in found]
    if missing or not wanted:
        such = f", such as {missing[0][:80]!r}," if missing else ""
        raise ValueError(
            f"{len(missing)} of {len(wanted)} queries{such} have no response in {path} or its "
            "shards; run the responses stage again, with these queries"
        )
    return AnsweredQueries(wanted, [found[query] for query in wanted], read_origin(files[0]))


def require_one_process(stage: str, advice: str) -> None:
    """Raise ValueError in a process that was launched beside others: they would write one file.

    Args:
        stage: the stage that was called.
        advice: what to do in place of launching it.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise ValueError(
            f"the {stage} stage was launched in {processes} processes; expected one: {advice}. "
            "Only `train fit` is for accelerate launch."
        )


def _mark(path: Path) -> Path:
    """Return the file that says that a file of responses is not finished."""
    return path.with_name(path.name.removesuffix(".jsonl") + ".unfinished")


def _require_whole(folder: Path, files: Sequence[Path]) -> None:
    """Raise ValueError if a file of responses is unfinished, or a shard is missing."""
    unfinished = [file for file in files if _mark(file).exists()]
    if unfinished:
        file = unfinished[0]
        raise ValueError(
            f"the responses in {file} are unfinished: wait for the stage that writes them, or run "
            "the same `train responses` again, which goes on where it was stopped. To train on "
            f"those that are there, delete {_mark(file).name}."
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
