r"""Responses from a server that speaks OpenAI's chat completions, written to the same files.

At scale a serving engine is faster than a loaded LLM. With vLLM, in one terminal and in another:

    vllm serve Qwen/Qwen3-8B --port 8000
    llm2vec-gen-rag train responses --recipe qwen3-8b --queries queries.jsonl \
        --output runs/mine --decoding sampled \
        --endpoint http://localhost:8000/v1 --endpoint-model Qwen/Qwen3-8B

or, from Python, by `training.respond`:

    respond_by_endpoint(
        Endpoint("http://localhost:8000/v1", "Qwen/Qwen3-8B"),
        read_queries("queries.jsonl"),
        load_recipe("qwen3-8b"),
        "runs/mine",
        decoding="sampled",
    )

vLLM samples as the model's generation config says unless a request says otherwise. For greedy
responses start it with `--generation-config vllm`, or a repetition penalty in that config still
applies. A server does not say which weights and which chat template it uses: the record beside the
file names the model as the server does. A server also reads the text of a special token inside a
query as that token, while `local` reads it as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, utf8_text
from llm2vec_gen_rag.training.queries import check_queries
from llm2vec_gen_rag.training.responses.brought import append_brought
from llm2vec_gen_rag.training.responses.chat_completions import ChatRequest, ask_all
from llm2vec_gen_rag.training.responses.decoding import Decoding, as_decoding, query_seed
from llm2vec_gen_rag.training.responses.endpoint import Endpoint
from llm2vec_gen_rag.training.responses.file import append_responses, open_responses
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions, recorded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def write_endpoint_responses(
    endpoint: Endpoint,
    queries: Sequence[str],
    path: str | Path,
    *,
    brought: Sequence[Response] = (),
    instruction: str = "",
    search_instructions: SearchInstructions | None = None,
    max_new_tokens: int = 500,
    tokenizer: PreTrainedTokenizerBase | None = None,
    max_prompt_length: int = 1024,
    decoding: Decoding = "greedy",
    seed: int = 42,
    show_progress: bool = False,
) -> None:
    """Append a server's answer to each query that no file of the run answers yet.

    Answers are written as they arrive, in any order; a stopped run loses the requests in flight.
    Inside a running event loop, as in a notebook, call it through `asyncio.to_thread`.

    Args:
        endpoint: the server.
        queries: the queries, without duplicates; of a run cut into shards, `shard.of(queries)`.
        path: the file to create or append to, by custom `NAME.jsonl`; of a shard,
            `shard.path(path)`.
        brought: answers that queries bring; they are appended first, and not asked for.
        instruction: precedes every query.
        search_instructions: what queries begin with themselves; None: nothing.
        max_new_tokens: longest answer.
        tokenizer: the model's tokenizer, to cut queries with; None cuts none, and a server refuses
            those that are too long for it.
        max_prompt_length: queries are cut to this many tokens, not counting the template.
        decoding: "greedy", or "sampled" as the server samples by default.
        seed: of the sampling; each request has a seed made of it and the query.
        show_progress: show a progress bar.

    Raises:
        ValueError: as `write_responses`, and if the API key's variable is not set.
        EndpointError: if the server cannot be reached or fails repeatedly, if it refuses the key or
            the model, or, after all others are answered, if it refused some queries.
        StorageError: if the file cannot be written, as on a full disk; responses in it are kept.
    """
    check_queries(queries)
    require_positive("max_new_tokens", max_new_tokens)
    require_positive("max_prompt_length", max_prompt_length)
    decoding = as_decoding(decoding)
    key = endpoint.api_key()
    origin = {
        "model": endpoint.model,
        "api": "chat/completions",
        "thinking_off": endpoint.thinking_off,
        **recorded(instruction, search_instructions),
        "max_new_tokens": max_new_tokens,
        "max_prompt_length": None if tokenizer is None else max_prompt_length,
    }
    if decoding == "sampled":
        origin |= {"sampling": "generation-config", "seed": seed}
    answered = open_responses(Path(path), origin)
    pending = append_brought(Path(path), queries, brought, answered)
    texts = _cut([instruction + query for query in pending], tokenizer, max_prompt_length)
    requests = [
        ChatRequest(
            query, _payload(endpoint, text, max_new_tokens, decoding, query_seed(seed, query))
        )
        for query, text in zip(pending, texts, strict=True)
    ]
    with tqdm(
        total=len(queries),
        initial=len(queries) - len(pending),
        disable=not show_progress,
        desc="Responses",
    ) as progress:

        def keep(responses: list[Response]) -> None:
            append_responses(Path(path), responses)
            progress.update(len(responses))

        ask_all(endpoint, key, requests, keep)


def _payload(
    endpoint: Endpoint, text: str, max_new_tokens: int, decoding: Decoding, seed: int
) -> dict[str, Any]:
    """Return the body of a request."""
    sampling = {"temperature": 0.0} if decoding == "greedy" else {"seed": seed}
    thinking = {"chat_template_kwargs": {"enable_thinking": False}} if endpoint.thinking_off else {}
    return {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": utf8_text(text)}],
        "max_tokens": max_new_tokens,
        **sampling,
        **thinking,
    }


def _cut(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase | None, most: int) -> list[str]:
    """Return the texts, cut to at most so many tokens; as text, because servers take no ids."""
    if tokenizer is None:
        return list(texts)
    ids = TextTokenizer(tokenizer).token_ids(texts, max_tokens=most + 1, bos=False)
    return [
        # a character of several tokens may have been cut in two
        str(tokenizer.decode(row[:most].tolist(), clean_up_tokenization_spaces=False)).rstrip(
            "\ufffd"
        )
        if len(row) > most
        else text
        for text, row in zip(texts, ids, strict=True)
    ]
