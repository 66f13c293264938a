"""`train responses`: the frozen LLM's own answers, from a loaded LLM or from a server."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.options import new_command, positive_int, shows_progress
from llm2vec_gen_rag.commands.output import print_json, quoted
from llm2vec_gen_rag.commands.train_options import (
    add_llm_options,
    add_run_options,
    base_model_of,
    load_llm,
    refuse_unread,
    require_stage_first,
    require_training_extra,
)
from llm2vec_gen_rag.commands.train_queries import (
    BATCH_SIZE,
    add_query_options,
    query_rows_of,
    search_instructions_of,
)

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.training.config import Recipe
    from llm2vec_gen_rag.training.responses.brought import QueryRows
    from llm2vec_gen_rag.training.responses.endpoint import Endpoint

SUMMARY = """\
First stage: the frozen LLM answers the queries; its responses are appended to OUTPUT.

Run it again after an interruption, and it resumes: no query is answered twice. With --shard,
each of n machines or GPUs answers its part; all write into one folder, or their files are
copied into one. With --endpoint, a server that speaks OpenAI's chat completions answers
instead of a loaded LLM. Rows that bring their own response and the examples of a --policy
are not asked."""

EXAMPLES = """\
  llm2vec-gen-rag train responses --base-model Qwen/Qwen3-0.6B --queries q.jsonl --output mine
  llm2vec-gen-rag train responses --base-model Qwen/Qwen3-0.6B --queries q.jsonl --output mine \\
    --shard 1/2
  llm2vec-gen-rag train responses --base-model Qwen/Qwen3-0.6B --queries q.jsonl --output mine \\
    --policy default
with a vLLM server, in one terminal and in another:
  vllm serve Qwen/Qwen3-8B --port 8000
  llm2vec-gen-rag train responses --recipe qwen3-8b --queries q.jsonl --output mine \\
    --decoding sampled --endpoint http://localhost:8000/v1 --endpoint-model Qwen/Qwen3-8B"""

LOADED_LLM_OPTIONS = ("device", "dtype", "batch_size")
SERVER_OPTIONS = ("endpoint_model", "api_key_variable", "concurrency", "thinking")


def add_responses(subparsers: Subparsers) -> None:
    """Declare the first stage."""
    parser = new_command(subparsers, "responses", _respond, summary=SUMMARY, examples=EXAMPLES)
    add_run_options(parser)
    add_query_options(parser)
    parser.add_argument("--shard", metavar="I/N", help="answer the i-th of n parts, from 1")
    add_llm_options(
        parser, default="the recipe's; with --endpoint, only its tokenizer is read, if named here"
    )
    group = parser.add_argument_group("server instead of a loaded LLM")
    group.add_argument("--endpoint", metavar="URL", help="such as http://localhost:8000/v1")
    group.add_argument(
        "--endpoint-model", metavar="NAME", help="the LLM, as the server names it; required"
    )
    group.add_argument(
        "--api-key-variable",
        metavar="VARIABLE",
        help="the environment variable that holds the API key (default: no key is sent)",
    )
    group.add_argument(
        "--concurrency",
        type=positive_int,
        metavar="N",
        help="the most requests in flight (default: 64)",
    )
    group.add_argument(
        "--thinking",
        choices=("off", "as-served"),
        help="off (the default): request a chat template with thinking off; as-served: do not "
        "send that field, for servers that refuse it",
    )


def _respond(arguments: argparse.Namespace) -> None:
    """Let the LLM, or a server, answer the queries."""
    require_stage_first(arguments)
    endpoint = _endpoint(arguments)
    from llm2vec_gen_rag.training.config import load_recipe
    from llm2vec_gen_rag.training.responses.shards import Shard

    recipe = load_recipe(arguments.recipe)
    shard = None if arguments.shard is None else Shard.parse(arguments.shard)
    rows = query_rows_of(arguments)
    how = {
        "brought": rows.brought,
        "instruction": arguments.instruction,
        "search_instructions": search_instructions_of(arguments),
        "decoding": arguments.decoding,
        "shard": shard,
        "show_progress": shows_progress(),
    }
    if endpoint is None:
        path = _respond_by_llm(arguments, recipe, rows, how)
    else:
        path = _respond_by_endpoint(endpoint, arguments, recipe, rows, how)
    queries = rows.queries if shard is None else shard.of(rows.queries)
    _report_responses(arguments, path, len(queries))


def _respond_by_llm(
    arguments: argparse.Namespace, recipe: Recipe, rows: QueryRows, how: dict[str, Any]
) -> Path:
    """Load the frozen LLM and let it answer."""
    require_training_extra()
    from llm2vec_gen_rag.training.pipeline import respond

    backbone, tokenizer = load_llm(base_model_of(arguments, recipe), arguments)
    batch_size = arguments.batch_size or BATCH_SIZE
    return respond(
        backbone, tokenizer, rows.queries, recipe, arguments.output, batch_size=batch_size, **how
    )


def _respond_by_endpoint(
    endpoint: Endpoint,
    arguments: argparse.Namespace,
    recipe: Recipe,
    rows: QueryRows,
    how: dict[str, Any],
) -> Path:
    """Let a server answer."""
    from llm2vec_gen_rag.backbone.base_tokenizer import load_base_tokenizer
    from llm2vec_gen_rag.training.respond import respond_by_endpoint

    tokenizer: Any = None
    if arguments.base_model:
        tokenizer = load_base_tokenizer(arguments.base_model)
    return respond_by_endpoint(
        endpoint, rows.queries, recipe, arguments.output, tokenizer=tokenizer, **how
    )


def _endpoint(arguments: argparse.Namespace) -> Endpoint | None:
    """Return the server's settings if one is to answer; refuse options that do not go together."""
    if arguments.endpoint is None:
        refuse_unread(arguments, SERVER_OPTIONS, "belongs to --endpoint, and a loaded LLM answers")
        return None
    refuse_unread(arguments, LOADED_LLM_OPTIONS, "belongs to a loaded LLM, and a server answers")
    if arguments.endpoint_model is None:
        raise ValueError(
            "--endpoint needs --endpoint-model, the LLM as the server names it: of vLLM, the name "
            "after `vllm serve`"
        )
    from llm2vec_gen_rag.training.responses.endpoint import Endpoint

    how = {} if arguments.concurrency is None else {"concurrency": arguments.concurrency}
    return Endpoint(
        arguments.endpoint,
        arguments.endpoint_model,
        api_key_variable=arguments.api_key_variable,
        thinking_off=arguments.thinking != "as-served",
        **how,
    )


def _report_responses(arguments: argparse.Namespace, path: Path, asked: int) -> None:
    """Print how many queries are answered, and how many answers were cut."""
    from llm2vec_gen_rag.training.responses.file import read_responses

    responses = read_responses(path)
    cut = sum(not response.finished for response in responses)
    sources = Counter(response.source for response in responses)
    given, policy = sources["given"], sources["policy"]
    if arguments.json:
        counts = {"unfinished": cut, "given": given, "policy": policy}
        print_json({"responses": str(path), "queries": asked, **counts})
        return
    print(
        f"{asked} queries are answered, in {quoted(path)}; {cut} of its answers are cut at the "
        "limit"
    )
    if given or policy:
        print(f"of its answers {given} are given with their queries and {policy} are the policy's")
    if arguments.shard is None:
        print(
            f"next: llm2vec-gen-rag train teach --output {quoted(arguments.output)} "
            f"--recipe {quoted(arguments.recipe)}"
        )
