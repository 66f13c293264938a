"""LLM2VecGen as an encoder of the `mteb` library (version 2), and a run of its tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm2vec_gen_rag.encoder import Vectors
from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.model import LLM2VecGen, require_model

require_extra("eval", "mteb")

import datasets  # noqa: E402
import mteb  # noqa: E402
from mteb.models.abs_encoder import AbsEncoder  # noqa: E402
from mteb.models.model_meta import ModelMeta  # noqa: E402
from mteb.types import PromptType  # noqa: E402

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.results import TaskResult
    from torch.utils.data import DataLoader

TEXTS_AT_ONCE = 4096  # enough to batch by length, few enough to hold their ids in memory


class MtebEncoder(AbsEncoder):  # type: ignore[misc]
    """A model with the instruction of each task, as the encoder that `mteb.evaluate` takes.

    Documents of retrieval and reranking tasks get the model's document instruction. Queries, and
    every text of other tasks, get the instruction of the task. Texts are stripped of surrounding
    white space, as in the reference's own programs, so that figures can be compared.
    """

    def __init__(
        self, model: LLM2VecGen, instructions: Mapping[str, str], max_length: int = 512
    ) -> None:
        """Wrap a model.

        Args:
            model: the model.
            instructions: the instruction of each task, by the task's name.
            max_length: see `LLM2VecGen.encode`.

        Raises:
            ValueError: if it is no loaded model.
        """
        require_model(model)
        self.model = model
        self.instructions = instructions
        self.max_length = max_length
        # mteb keeps results by name and revision: whatever changes a figure belongs in them
        settings = f"{model.fingerprint} {model.dtype} {max_length} {sorted(instructions.items())}"
        settings += f" {model.prompts.document}"
        digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
        name = f"llm2vec-gen-rag/{Path(model.name).name}"
        self.mteb_model_meta = ModelMeta.create_empty({"name": name, "revision": digest})

    def encode(
        self,
        inputs: DataLoader[Any],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        batch_size: int = 32,
        show_progress_bar: bool = False,
    ) -> Vectors:
        """Return the normalised vectors of the texts, in their order.

        Args:
            inputs: batches, each with its texts under "text".
            task_metadata: has the task's name.
            hf_split: unused; part of mteb's protocol.
            hf_subset: unused, likewise.
            prompt_type: the side of a retrieval or reranking task; None in other tasks.
            batch_size: unused; the model plans its own batches by length.
            show_progress_bar: whether to show a bar for each part of the texts.

        Returns:
            (texts, dimension) float32.

        Raises:
            ValueError: if the task has no instruction.
        """
        instruction = self._instruction(task_metadata.name, prompt_type)
        vectors = np.empty((len(inputs.dataset), self.model.dimension), dtype=np.float32)  # type: ignore[arg-type]
        done = 0
        for texts in _parts(inputs):
            vectors[done : done + len(texts)] = self.model.encode(
                texts,
                instruction=instruction,
                max_length=self.max_length,
                show_progress=show_progress_bar,
            )
            done += len(texts)
        return vectors

    def _instruction(self, task: str, prompt_type: PromptType | None) -> str:
        if prompt_type == PromptType.document:
            return self.model.prompts.document
        if task not in self.instructions:
            raise ValueError(
                f"no instruction is published for the task {task!r}; expected one of "
                f"{', '.join(sorted(self.instructions))}. Give your own with --instruction."
            )
        return self.instructions[task]


def run_tasks(
    encoder: MtebEncoder,
    tasks: Sequence[AbsTask],
    *,
    results_folder: Path | None = None,
    show_progress: bool = False,
) -> list[TaskResult]:
    """Measure tasks one after another.

    Args:
        encoder: the model with the tasks' instructions.
        tasks: of the `mteb` library; those without data are downloaded.
        results_folder: keeps each task's result, which is reused when the same model with the same
            settings is measured again; None keeps nothing.
        show_progress: whether to show progress bars.

    Returns:
        One result a task.

    Raises:
        OSError: if a task's data cannot be downloaded.
    """
    if not show_progress:
        datasets.disable_progress_bars()  # mteb does not pass show_progress on
    measured = mteb.evaluate(
        encoder,
        tasks,
        cache=None if results_folder is None else mteb.ResultCache(results_folder),
        encode_kwargs={"show_progress_bar": show_progress, "batch_size": 256},
        show_progress_bar=show_progress,
    )
    return list(measured.task_results)


def _parts(inputs: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the texts of all batches in lists of at most `TEXTS_AT_ONCE`."""
    texts = (text.strip() for batch in inputs for text in batch["text"])
    while part := list(islice(texts, TEXTS_AT_ONCE)):
        yield part
