"""The last part of `demo`: this repository's own pages, indexed with smollm2 and searched."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm2vec_gen_rag.arguments import SMOLLM2
from llm2vec_gen_rag.commands.output import paragraph, printable, strong
from llm2vec_gen_rag.errors import LLM2VecGenError, first_line
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.qdrant import Document, DocumentCollection
from llm2vec_gen_rag.qdrant.reading.text_files import read_documents

ROOT = Path(__file__).parents[2]
# half of the pages, indexed in about a minute on two cores; docs/log.md and docs/reliability.md are
# as long as these together
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/evidence.md",
    "docs/performance.md",
    "docs/training.md",
)
QUESTION = "my training run was killed, do I have to start over?"

_AT_ONCE = 8  # passages, after which progress is shown


@dataclass(frozen=True)
class FoundPassage:
    """The passage nearest to a question.

    Attributes:
        question: what was asked.
        pages: the files that were indexed.
        passages: how many passages they hold.
        seconds: to load the model, index and search.
        file: the page that the passage is of.
        score: its cosine similarity.
        text: the passage.
    """

    question: str
    pages: tuple[str, ...]
    passages: int
    seconds: float
    file: str
    score: float
    text: str


@dataclass(frozen=True)
class Skipped:
    """Why the pages are not indexed."""

    skipped: str


def search_pages(root: Path = ROOT, *, show_progress: bool = False) -> FoundPassage | Skipped:
    """Index the pages of a clone in memory, and search for the answer to one question.

    Nothing is downloaded.

    Args:
        root: the clone.
        show_progress: show a progress bar.

    Returns:
        The passage; or why there is none, if the pages or the LLM are not on this machine.
    """
    missing = [page for page in PAGES if not (root / page).is_file()]
    if missing:
        return Skipped(
            f"this installation has no pages to index ({missing[0]}): they are in a clone of the "
            "repository only"
        )
    started = time.perf_counter()
    try:
        model = LLM2VecGen.from_pretrained(SMOLLM2, local_files_only=True)
    except LLM2VecGenError as error:
        return Skipped(first_line(error))
    sys.stderr.write(
        f"indexing {len(PAGES)} pages of this repository with {SMOLLM2}: about a minute\n"
    )
    with DocumentCollection.open(":memory:", "pages", model) as collection:
        collection.index(_passages(root), batch_size=_AT_ONCE, show_progress=show_progress)
        hit = collection.search(QUESTION, 1)[0]
        passages = collection.count()
    seconds = time.perf_counter() - started
    file = str(hit.metadata["file"])
    return FoundPassage(QUESTION, PAGES, passages, round(seconds, 1), file, hit.score, hit.text)


def pages_as_text(outcome: FoundPassage | Skipped) -> str:
    """Return the outcome for a person."""
    title = strong("4. This repository's own pages, with smollm2")
    if isinstance(outcome, Skipped):
        return f"{title}\n   skipped: {printable(outcome.skipped)}"
    indexed = f"{outcome.passages} passages of {len(outcome.pages)} pages"
    return "\n".join(
        [
            title,
            paragraph(outcome.question, first="   > ", indent="     "),
            f"   {indexed} indexed, and the nearest found, in {outcome.seconds:.0f} s",
            f"     {outcome.score:4.2f} {outcome.file}",
            paragraph(outcome.text, indent=" " * 10, lines=6),
        ]
    )


def _passages(root: Path) -> Iterator[Document]:
    """Yield the passages of the pages."""
    for _, document in read_documents([root / page for page in PAGES], root):
        yield document
