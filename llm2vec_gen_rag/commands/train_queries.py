"""The queries of `train`: their options, the answers that some bring, and a policy's prompts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.lines import read_lines
from llm2vec_gen_rag.commands.options import positive_int
from llm2vec_gen_rag.commands.output import quoted
from llm2vec_gen_rag.commands.train_options import refuse_unread
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS

if TYPE_CHECKING:
    from llm2vec_gen_rag.training.responses.brought import QueryRows
    from llm2vec_gen_rag.training.responses.policy import Policy
    from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions

BATCH_SIZE = 64
_WRITTEN = ("query_instruction", "document_instruction")


def add_query_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add what names the queries and how the LLM is asked."""
    group = parser.add_argument_group("queries")
    group.add_argument(
        "--queries",
        required=required,
        metavar="SOURCE",
        help="a text file of one query a line (- for standard input), .jsonl, .parquet, or a "
        "dataset's folder or name; a row of .jsonl may bring its own response",
    )
    group.add_argument(
        "--column",
        default="query",
        metavar="NAME",
        help="the query's field in JSON, its column in Parquet and datasets (default: query)",
    )
    group.add_argument(
        "--split", default="train", help="which split of a dataset to read (default: train)"
    )
    group.add_argument(
        "--policy",
        metavar="NAME_OR_FILE",
        help="also train on the prompts of a refusal policy, with its answers: default, or a "
        ".yaml file",
    )
    _add_answering_options(group)


def _add_answering_options(group: argparse._ArgumentGroup) -> None:
    """Add how the LLM is asked."""
    group.add_argument(
        "--instruction",
        default=QUERY_INSTRUCTIONS["retrieval"],
        metavar="TEXT",
        help="precedes every query, in training and in searching "
        f'(default: "{QUERY_INSTRUCTIONS["retrieval"]}")',
    )
    group.add_argument(
        "--query-instruction",
        metavar="TEXT",
        help="with an empty --instruction: what the queries begin with themselves; it precedes the "
        'prompts of the policy, too, and every query in searching; "" for nothing',
    )
    group.add_argument(
        "--document-instruction",
        metavar="TEXT",
        help="beside --query-instruction: what the documents among the queries begin with, and "
        f'what precedes every document in searching (default: "{DOCUMENT_INSTRUCTION}")',
    )
    group.add_argument(
        "--decoding",
        choices=("greedy", "sampled"),
        default="greedy",
        help="greedy (the default), or sampled as the LLM's own generation config says",
    )
    group.add_argument(
        "--batch-size",
        type=positive_int,
        metavar="N",
        help=f"queries answered at a time, and at most lost when stopped (default: {BATCH_SIZE})",
    )


def query_rows_of(arguments: argparse.Namespace) -> QueryRows:
    """Return the queries of the source and of the policy, with the answers that they bring.

    In a text file, empty lines and duplicates are skipped; in any other source they are an error.
    Standard error says how many are, how many rows bring an answer, and how many get the policy's.

    Args:
        arguments: of the command.

    Returns:
        At least one query, none blank, none twice.

    Raises:
        ValueError: if the queries or the policy cannot be read, there are no queries, or it is not
            said which instruction the policy's prompts get.
    """
    policy = _policy_of(arguments)
    rows = _rows_of_source(arguments)
    if rows.brought:
        sys.stderr.write(
            f"{quoted(arguments.queries)}: {len(rows.brought)} of {len(rows.queries)} queries "
            "bring their own answer\n"
        )
    if policy is None:
        return rows
    if also := policy.also_in(rows.queries):
        sys.stderr.write(
            f"{quoted(arguments.queries)}: {len(also)} of its queries, such as {also[0][:80]!r}, "
            "are examples of the policy, and get its answer\n"
        )
    return policy.added_to(rows)


def search_instructions_of(arguments: argparse.Namespace) -> SearchInstructions | None:
    """Return what the queries begin with themselves; None where --instruction precedes them.

    Args:
        arguments: of the command.

    Returns:
        The instructions that a search puts before a query and a document.

    Raises:
        ValueError: if an option would have no effect.
    """
    if arguments.instruction:
        reason = "is for an empty --instruction, and this one precedes every query"
        refuse_unread(arguments, _WRITTEN, reason)
    if arguments.query_instruction is None:
        refuse_unread(arguments, ("document_instruction",), "stands beside --query-instruction")
        return None
    from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions

    given = arguments.document_instruction
    document = DOCUMENT_INSTRUCTION if given is None else given
    return SearchInstructions(arguments.query_instruction, document)


def _policy_of(arguments: argparse.Namespace) -> Policy | None:
    """Return the policy, if there is one, its prompts as a search will send them."""
    written = search_instructions_of(arguments)
    if arguments.policy is None:
        return None
    if not arguments.instruction and written is None:  # rows do not say with which they begin
        raise ValueError(
            "got --policy with an empty --instruction, and no --query-instruction; expected what "
            "precedes each prompt of the policy, as it does your queries. Pass the instruction "
            'that your queries begin with, such as "Question: ", or "" if they have none.'
        )
    from llm2vec_gen_rag.training.responses.policy_file import load_policy

    policy = load_policy(arguments.policy)
    return policy if written is None else policy.with_instruction(written.query)


def _rows_of_source(arguments: argparse.Namespace) -> QueryRows:
    """Return the queries of the source, with the answers that rows bring."""
    from llm2vec_gen_rag.training.responses.brought import QueryRows, read_query_rows

    source = arguments.queries
    if source == "-" or (Path(source).is_file() and Path(source).suffix in {".txt", ""}):
        return QueryRows(_lines_of_text(source), [])
    return read_query_rows(source, column=arguments.column, split=arguments.split)


def _lines_of_text(source: str) -> list[str]:
    """Return the distinct lines of a text, the others counted; raise ValueError without any."""
    lines = read_lines(source)
    queries = list(dict.fromkeys(line for line in lines if line.strip()))
    if not queries:
        raise ValueError(f"{source} holds no query; expected one a line.")
    if len(queries) < len(lines):
        sys.stderr.write(
            f"{quoted(source)}: {len(queries)} queries; {len(lines) - len(queries)} lines are "
            "empty or repeat an earlier one, and are skipped\n"
        )
    return queries
