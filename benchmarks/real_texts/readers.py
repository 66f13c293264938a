"""The model and its teacher, reading texts: each list of texts once, kept in a folder of work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from benchmarks.processor import this_machine
from benchmarks.real_texts.code_digest import code_digest
from benchmarks.real_texts.frozen_states import mean_states
from benchmarks.real_texts.kept_vectors import Arrays, KeptVectors
from benchmarks.real_texts.ranking import Vectors
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.qdrant.writing.as_read import MAX_LENGTH
from llm2vec_gen_rag.teachers.protocol import Teacher

logger = logging.getLogger(__name__)
WRITTEN_TOKENS = 64
TASK = "retrieval"


def indexed_tokens(model: LLM2VecGen) -> int:
    """Return how many tokens of a document a collection reads, beside what else the LLM reads."""
    (instructed,) = model.text_tokenizer.token_ids([model.prompts.document])
    return MAX_LENGTH - len(instructed) - len(model.response_tokens)


@dataclass(frozen=True)
class EmbeddingReader:
    """A model that turns texts into embeddings.

    Attributes:
        model: the model that is measured.
        work: keeps what was computed.
        max_length: tokens of a text that the LLM reads, beside instruction and response tokens.
    """

    model: LLM2VecGen
    work: KeptVectors
    max_length: int

    @cached_property
    def llm_digest(self) -> str:
        """A hash of the LLM's weights and of the code that computes with them."""
        return f"{weights_digest(self.model.backbone)} {code_digest()}"

    @cached_property
    def model_digest(self) -> str:
        """A hash of all that decides the model's vectors."""
        return f"{self.model.fingerprint} {self.llm_digest} {self.model.dtype}"

    def queries(self, name: str, texts: Sequence[str]) -> Vectors:
        """Return the model's embeddings of queries, (texts, dimension)."""
        return self._embedded(name, texts, self.model.prompts.for_query(TASK))

    def documents(self, name: str, texts: Sequence[str]) -> Vectors:
        """Return the model's embeddings of documents, (texts, dimension)."""
        return self._embedded(name, texts, self.model.prompts.document)

    def longer(self, texts: Sequence[str]) -> int:
        """Return how many texts have more tokens than are read."""
        ids = self.model.text_tokenizer.token_ids(list(texts))
        return sum(len(each) > self.max_length for each in ids)

    def _embedded(self, name: str, texts: Sequence[str], instruction: str) -> Vectors:
        """Return embeddings of texts of which as many tokens are read as of the mean states."""
        (instructed,) = self.model.text_tokenizer.token_ids([instruction])
        length = len(instructed) + self.max_length + len(self.model.response_tokens)

        def compute() -> Arrays:
            found = self.model.encode(texts, instruction=instruction, max_length=length)
            return {"vectors": found}

        made_of = [self.model_digest, instruction, str(length), *texts]
        return self._timed(f"{name}.ours", made_of, compute)["vectors"]

    def _timed(self, name: str, made_of: Sequence[str], compute: Callable[[], Arrays]) -> Arrays:
        started = time.perf_counter()
        found = self.work.arrays(name, made_of, compute)
        logger.info("%s: %.0f s", name, time.perf_counter() - started)
        return found


@dataclass(frozen=True)
class Readers(EmbeddingReader):
    """What turns texts into vectors, and questions into answers.

    Attributes:
        teacher: the encoder that the model was trained with; it has a limit of its own.
        middle: the middle layer whose states are read, from 1.
    """

    teacher: Teacher
    middle: int

    def states(self, name: str, texts: Sequence[str]) -> Arrays:
        """Return the LLM's mean states, "middle" and "last", each (texts, hidden)."""

        def compute() -> Arrays:
            return mean_states(self.model, texts, middle=self.middle, max_length=self.max_length)

        settings = [self.llm_digest, str(self.middle), str(self.max_length)]
        return self._timed(f"{name}.states", [*settings, *texts], compute)

    def taught(self, name: str, texts: Sequence[str]) -> Vectors:
        """Return the teacher's embeddings, (texts, dimension)."""
        made_of = [self.teacher.fingerprint, *texts]
        return self._timed(
            f"{name}.teacher", made_of, lambda: {"vectors": self.teacher.embed(texts)}
        )["vectors"]

    def answers(self, name: str, queries: Sequence[str]) -> dict[str, Any]:
        """Return the LLM's own answers, and the seconds it took to write them side by side."""

        def compute() -> dict[str, Any]:
            started = time.perf_counter()
            texts = self.model.answer(queries, max_new_tokens=WRITTEN_TOKENS)
            return {"texts": texts, "seconds": time.perf_counter() - started}

        machine = this_machine(torch.get_num_threads())
        # the seconds are those of one machine
        settings = [self.llm_digest, str(WRITTEN_TOKENS), machine.folder, str(machine.threads)]
        return self.work.record(f"{name}.answers", [*settings, *queries], compute)

    def decoded(self, name: str, queries: Sequence[str]) -> list[str]:
        """Return what the LLM says, given each query's embedding only."""
        instruction = self.model.prompts.for_query(TASK)

        def compute() -> dict[str, Any]:
            return {
                "texts": self.model.decode(
                    queries, instruction=instruction, max_new_tokens=WRITTEN_TOKENS
                )
            }

        texts: list[str] = self.work.record(
            f"{name}.decoded",
            [self.model_digest, str(WRITTEN_TOKENS), instruction, *queries],
            compute,
        )["texts"]
        return texts
