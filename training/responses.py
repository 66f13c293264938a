"""The frozen LLM's own greedy answers to unlabeled queries: what response tokens learn from.

One JSON object a line, `{"query", "response", "finished"}`, appended batch by batch, so that a run
that was stopped goes on where it was; beside it, `NAME.model.json` says which model wrote them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.backbone import base_name, end_token_ids, weights_digest
from llm2vec_gen_rag.batching import plan_batches
from llm2vec_gen_rag.decoder import answer_prompts, greedy_ids, left_padded_embeddings, read_ids
from llm2vec_gen_rag.encoder import padding_is_inert
from llm2vec_gen_rag.tokenization import TextTokenizer, TokenIds


@dataclass(frozen=True)
class Response:
    """A query, what the LLM answers, and whether the answer came to its end by itself."""

    query: str
    response: str
    finished: bool


def write_responses(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    path: str | Path,
    *,
    instruction: str = "",
    max_new_tokens: int = 500,
    max_prompt_length: int = 1024,
    batch_size: int = 64,
    show_progress: bool = False,
) -> None:
    """Append the LLM's greedy answer to each query that the file does not answer yet.

    A model with a chat template is asked through it, with thinking off; any other continues the
    plain text. Queries are taken longest first, so the file is not in their order.

    Args:
        backbone: the frozen causal LLM.
        tokenizer: its tokenizer.
        queries: the queries, without duplicates.
        path: the file to create or to go on with, by custom `NAME.jsonl`.
        instruction: what goes before every query, as it stands.
        max_new_tokens: longest answer.
        max_prompt_length: queries are cut to this many tokens, template aside.
        batch_size: queries answered at a time, and at most lost when a run is stopped.
        show_progress: show a progress bar.

    Raises:
        ValueError: if there are no queries, one is empty or stands there twice, or the file was
            written by another model or with other settings, or is damaged; if a number is not
            positive.
    """
    _check_queries(queries)
    require_positive("max_new_tokens", max_new_tokens)
    require_positive("batch_size", batch_size)
    path = Path(path)
    _claim(
        path,
        {
            "model": base_name(backbone) or type(backbone).__name__,
            "weights": weights_digest(backbone),
            "chat_template": _text_digest(tokenizer.chat_template or ""),
            "instruction": instruction,
            "max_new_tokens": max_new_tokens,
            "max_prompt_length": max_prompt_length,
        },
    )
    answered = {response.query for response in _drop_unfinished_line(path)}
    pending = [query for query in queries if query not in answered]
    prompts = answer_prompts(
        tokenizer,
        TextTokenizer(tokenizer),
        [instruction + query for query in pending],
        max_length=max_prompt_length,
    )
    plan = plan_batches(
        [len(prompt) for prompt in prompts],
        token_budget=0,
        batch_size=batch_size,
        pad=padding_is_inert(backbone),
    )
    with tqdm(total=len(pending), disable=not show_progress, desc="Responses") as progress:
        for rows in plan:
            answers = _answers(backbone, tokenizer, [prompts[row] for row in rows], max_new_tokens)
            _append(
                path,
                [
                    Response(pending[row], text, finished)
                    for row, (text, finished) in zip(rows, answers, strict=True)
                ],
            )
            progress.update(len(rows))


def read_responses(path: str | Path) -> list[Response]:
    """Return the responses of a file in its order; a half-written last line is not one.

    Raises:
        ValueError: if there is no such file or a line of it is not a response; the line is named.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no response file {path}; write it with write_responses")
    whole_lines = path.read_bytes().rpartition(b"\n")[0]
    return [
        _parse(line, f"{path}, line {number}")
        for number, line in enumerate(whole_lines.split(b"\n"), start=1)
        if whole_lines
    ]


def _check_queries(queries: Sequence[str]) -> None:
    """Raise ValueError unless there are queries, each a text, none twice."""
    if isinstance(queries, str) or not queries:
        raise ValueError(f"got {queries!r} for queries; expected a list of at least one query")
    first_row: dict[str, int] = {}
    for row, query in enumerate(queries):
        if not isinstance(query, str) or not query.strip():
            raise ValueError(f"query {row} is {query!r}; expected a text with something in it")
        if query in first_row:
            raise ValueError(
                f"queries {first_row[query]} and {row} are the same: {query[:80]!r}; remove one, "
                "for example with list(dict.fromkeys(queries))"
            )
        first_row[query] = row


def _claim(path: Path, origin: dict[str, Any]) -> None:
    """Record where responses come from, or check that those already there come from the same."""
    record = path.with_name(path.name.removesuffix(".jsonl") + ".model.json")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
        path.touch()
        return
    if not record.is_file():
        raise ValueError(
            f"{path} exists, but not {record.name}, which says which model wrote it; move the "
            "responses away or choose another path"
        )
    found = json.loads(record.read_text(encoding="utf-8"))
    for key in sorted(origin.keys() - {"model"}):
        if found.get(key) != origin[key]:
            raise ValueError(
                f"{path} was written by {found.get('model')} with {key} {found.get(key)!r}; this "
                f"run is of {origin['model']} with {origin[key]!r}. Delete the file or choose "
                "another path."
            )


def _text_digest(text: str) -> str:
    """Return a short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _drop_unfinished_line(path: Path) -> list[Response]:
    """Cut off what a stopped run left of its last line, and return the responses before it."""
    responses = read_responses(path)
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
    return responses


def _parse(line: bytes, place: str) -> Response:
    """Read one line of a response file."""
    try:
        response = Response(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{place} is not a response ({error}); mend or delete the line, and run again"
        ) from error
    if not isinstance(response.query, str) or not isinstance(response.response, str):
        raise ValueError(f"{place}: query and response must be texts; mend or delete the line")
    return response


def _answers(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[TokenIds],
    max_new_tokens: int,
) -> list[tuple[str, bool]]:
    """Return what the LLM writes behind each prompt, and whether it came to an end."""
    ends = end_token_ids(backbone) | {tokenizer.eos_token_id}
    inputs, mask = left_padded_embeddings(backbone, prompts)
    written = greedy_ids(backbone, inputs, mask, max_new_tokens=max_new_tokens, ends=ends)
    finished = [ids[-1] in ends for ids in written]
    return list(zip(read_ids(tokenizer, written, ends), finished, strict=True))


def _append(path: Path, responses: Sequence[Response]) -> None:
    """Append responses and wait until they are on the disk."""
    lines = "".join(json.dumps(asdict(response)) + "\n" for response in responses)
    with path.open("a", encoding="ascii") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
