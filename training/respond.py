"""The responses stage: a loaded LLM, or a server, answers the queries of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.responses.brought import check_brought
from llm2vec_gen_rag.training.responses.decoding import Decoding
from llm2vec_gen_rag.training.responses.endpoint import Endpoint
from llm2vec_gen_rag.training.responses.local import write_responses
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions
from llm2vec_gen_rag.training.responses.shards import Shard
from llm2vec_gen_rag.training.run_folder import answering


def respond(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    recipe: Recipe,
    folder: str | Path,
    *,
    brought: Sequence[Response] = (),
    instruction: str = "",
    search_instructions: SearchInstructions | None = None,
    decoding: Decoding = "greedy",
    shard: Shard | None = None,
    batch_size: int = 64,
    show_progress: bool = False,
) -> Path:
    """Let the frozen LLM answer the queries that have no response in the folder yet.

    `respond_by_endpoint` does the same with a server instead of a loaded LLM.

    Args:
        backbone: the frozen causal LLM.
        tokenizer: its tokenizer.
        queries: all queries of the run, without duplicates.
        recipe: gives `max_new_tokens` and `seed`.
        folder: of the run.
        brought: answers that some of the queries bring, which the LLM is not asked.
        instruction: precedes every query; becomes the trained model's instruction for retrieval.
        search_instructions: what the queries and documents of the run begin with themselves; they
            become the trained model's; None: nothing.
        decoding: "greedy", or "sampled" as the LLM's own generation config says.
        shard: which part of the queries to answer; None answers all.
        batch_size: queries answered at a time, and at most lost when the stage is stopped.
        show_progress: show a progress bar.

    Returns:
        The file with the responses.

    Raises:
        ValueError: if the queries or the answers that they bring are unusable, the folder holds
            another model's responses or others that queries brought, there are both an instruction
            and search instructions, or several processes were launched.
        NonFiniteError: if the LLM computes NaN or infinity.
        StorageError: if the folder cannot be written to, or the disk is full; the responses so far
            are kept.
    """
    check_brought(brought, queries)
    with answering(Path(folder), queries, shard) as (path, to_answer):
        write_responses(
            backbone,
            tokenizer,
            to_answer,
            path,
            brought=brought,
            instruction=instruction,
            search_instructions=search_instructions,
            max_new_tokens=recipe.max_new_tokens,
            decoding=decoding,
            seed=recipe.seed,
            batch_size=batch_size,
            show_progress=show_progress,
        )
    return path


def respond_by_endpoint(
    endpoint: Endpoint,
    queries: Sequence[str],
    recipe: Recipe,
    folder: str | Path,
    *,
    brought: Sequence[Response] = (),
    tokenizer: PreTrainedTokenizerBase | None = None,
    instruction: str = "",
    search_instructions: SearchInstructions | None = None,
    decoding: Decoding = "greedy",
    shard: Shard | None = None,
    show_progress: bool = False,
) -> Path:
    """Let a server answer the queries: `respond` without a loaded LLM.

    Args:
        endpoint: the server.
        queries: all queries of the run, without duplicates.
        recipe: gives `max_new_tokens` and `seed`.
        folder: of the run.
        brought: as `respond`.
        tokenizer: as `write_endpoint_responses`.
        instruction: as `respond`.
        search_instructions: as `respond`.
        decoding: as `write_endpoint_responses`.
        shard: which part of the queries to answer; None answers all.
        show_progress: show a progress bar.

    Returns:
        The file with the responses.

    Raises:
        ValueError: as `write_endpoint_responses`, and as `respond`.
        EndpointError: as `write_endpoint_responses`.
        StorageError: as `write_endpoint_responses`.
    """
    # needs the extra "endpoint", which a loaded LLM does without
    from llm2vec_gen_rag.training.responses.remote import write_endpoint_responses

    check_brought(brought, queries)
    with answering(Path(folder), queries, shard) as (path, to_answer):
        write_endpoint_responses(
            endpoint,
            to_answer,
            path,
            brought=brought,
            instruction=instruction,
            search_instructions=search_instructions,
            max_new_tokens=recipe.max_new_tokens,
            tokenizer=tokenizer,
            decoding=decoding,
            seed=recipe.seed,
            show_progress=show_progress,
        )
    return path
