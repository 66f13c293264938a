"""The token with which a frozen LLM ends an answer."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.facts import end_token_ids

# the answer while the chat template is rendered
_ANSWER = "\ue000answer\ue000"


def answer_end_id(backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the token with which the LLM ends a complete answer.

    The LLM stops at it: it is what the chat template puts after an answer, else the tokenizer's
    end-of-sequence token, else the first end token of the generation config. A tokenizer can state
    another token than the LLM was trained to write (a base model's "<|endoftext|>", where the chat
    model writes "<|im_end|>"); trained with that one, soft prompts would decode without an end.

    Args:
        backbone: the frozen LLM.
        tokenizer: its tokenizer.

    Returns:
        The token id.

    Raises:
        ValueError: if neither states an end token.
    """
    ends = end_token_ids(backbone)
    eos: int | None = tokenizer.eos_token_id
    for token in [*_after_an_answer(tokenizer), eos, *_stated_ends(backbone)]:
        if token in ends:
            return token
    if eos is None:
        raise ValueError(
            "neither the tokenizer nor the LLM's generation config names an end-of-sequence "
            "token; expected one. Set tokenizer.eos_token."
        )
    return eos


def _after_an_answer(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that the chat template, if there is one, puts after an answer."""
    if tokenizer.chat_template is None:
        return []
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}],
        tokenize=False,
    )
    after = str(rendered).partition(_ANSWER)[2]
    return list(tokenizer(after, add_special_tokens=False)["input_ids"])


def _stated_ends(backbone: PreTrainedModel) -> list[int]:
    """Return the end tokens of the generation config, and then the LLM's others, in order."""
    stated = getattr(backbone.generation_config, "eos_token_id", None)
    first = stated if isinstance(stated, list) else [stated]
    return [*first, *sorted(end_token_ids(backbone))]
