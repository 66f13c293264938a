"""Users' texts -> token ids: whatever a user writes is text, never a special token.

A tokenizer finds its special tokens inside text, so that a user's "<|im_end|>" would end a turn and
"<question3>" would be a response token. Texts are therefore tokenized by a copy of the tokenizer
that splits special tokens like any other characters. Other texts get the same ids as before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer, models
from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.errors import UnsupportedCheckpointError

TokenIds = npt.NDArray[np.int64]

# of a text, enough to see where the instruction's last token ends
NEXT_CHARACTERS = 64
# texts per call of the tokenizer, whose results are large objects; ours are small arrays
WINDOW = 1024


# stands for a text while the chat template is rendered, so that nothing in a text is markup
_PLACEHOLDER = "\ue000text{}\ue000"


@dataclass(frozen=True)
class TokenizedTexts:
    """Texts as token ids, each after the same instruction.

    Attributes:
        rows: ids of instruction and text together, one array per text.
        tokens: int64 (texts,), how many ids instruction and text have before they are cut.
        instruction_tokens: how many ids of the first row are of the instruction alone.
    """

    rows: list[TokenIds]
    tokens: npt.NDArray[np.int64]
    instruction_tokens: int


class TextTokenizer:
    """Tokenizes texts without looking for special tokens; safe to use from several threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Copy a tokenizer; later changes to the original have no effect.

        Args:
            tokenizer: a Hugging Face tokenizer backed by the `tokenizers` library.

        Raises:
            UnsupportedCheckpointError: if it is backed by something else.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise UnsupportedCheckpointError(
                f"the tokenizer is a {type(tokenizer).__name__}, which is not backed by the "
                "'tokenizers' library; supported are tokenizers with a tokenizer.json. Convert it "
                "with AutoTokenizer.from_pretrained(..., use_fast=True).save_pretrained(...)."
            )
        self._tokenizer: Tokenizer = Tokenizer.from_str(backend.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        switch_off_sampling(self._tokenizer)

    def token_ids(
        self, texts: Sequence[str], *, max_tokens: int | None = None, bos: bool = True
    ) -> list[TokenIds]:
        """Tokenize texts; each starts with a BOS where the tokenizer adds one.

        Args:
            texts: the texts.
            max_tokens: how many ids to keep from the start, BOS included; None keeps all.
            bos: whether to let the tokenizer add its BOS.

        Returns:
            One int64 array per text.
        """
        return [_first_ids(encoding, max_tokens) for encoding in self._encodings(texts, bos)]

    def tokenize(
        self, texts: Sequence[str], instruction: str, *, max_tokens: int
    ) -> TokenizedTexts:
        """Return the ids of texts that follow an instruction, with no space between the two.

        Args:
            texts: the texts.
            instruction: put before each text as it is.
            max_tokens: how many ids of instruction and text to keep from the front.

        Returns:
            The ids, in the order of the texts.
        """
        rows: list[TokenIds] = []
        tokens = np.empty(len(texts), dtype=np.int64)
        for encoding in self._encodings([f"{instruction}{text}" for text in texts], bos=True):
            tokens[len(rows)] = len(encoding)
            rows.append(_first_ids(encoding, max_tokens))
        shared = self._instruction_tokens(instruction, texts[0]) if instruction and texts else 0
        return TokenizedTexts(rows, tokens, shared)

    def components(self) -> dict[str, bytes]:
        """Return what decides ids, in the JSON of the `tokenizers` library.

        Returns:
            "model" with vocabulary and merges, "normalizer" and "pre_tokenizer"; empty where there
            is none.
        """
        names = ("model", "normalizer", "pre_tokenizer")
        parts = {name: getattr(self._tokenizer, name) for name in names}
        return {name: part.__getstate__() if part else b"" for name, part in parts.items()}

    def added_texts(self) -> list[str]:
        """Return the added tokens that are found in text: those that are not special."""
        added = self._tokenizer.get_added_tokens_decoder()
        return [token.content for _, token in sorted(added.items()) if not token.special]

    def _encodings(self, texts: Sequence[str], bos: bool) -> Iterator[Encoding]:
        """Yield the tokens of each text, few of which are in memory at once."""
        for start in range(0, len(texts), WINDOW):
            window = [utf8_text(text) for text in texts[start : start + WINDOW]]
            yield from self._tokenizer.encode_batch_fast(window, add_special_tokens=bos)

    def _instruction_tokens(self, instruction: str, text: str) -> int:
        """Return how many tokens end within the instruction: the next may reach into the text."""
        beginning = utf8_text(f"{instruction}{text[:NEXT_CHARACTERS]}")
        offsets = self._tokenizer.encode(beginning).offsets
        return sum(end <= len(utf8_text(instruction)) for _, end in offsets)


def _first_ids(encoding: Encoding, most: int | None) -> TokenIds:
    return np.array(encoding.ids[:most], dtype=np.int64)


def answer_prompts(
    tokenizer: PreTrainedTokenizerBase,
    text_tokenizer: TextTokenizer,
    texts: Sequence[str],
    *,
    max_length: int,
    room: int | None = None,
) -> list[TokenIds]:
    """Return the ids that ask the LLM each text, in its chat template if it has one.

    Args:
        tokenizer: for the template and its special tokens.
        text_tokenizer: for the texts, in which nothing is markup.
        texts: the texts.
        max_length: how many ids of each text to keep.
        room: the most ids of a whole prompt; None sets no limit.

    Returns:
        One array of ids per text.

    Raises:
        ValueError: if the template leaves no room for a text.
    """
    plain = tokenizer.chat_template is None
    if room is not None:
        max_length = min(max_length, room)
    bodies = text_tokenizer.token_ids(texts, max_tokens=max_length, bos=plain)
    if plain:
        return bodies
    opening, closing = ids_around_texts(tokenizer, ["user"])
    around = len(opening) + len(closing)
    if room is not None and room <= around:
        raise ValueError(
            f"the LLM has room for a prompt of {room} tokens, and its chat template alone takes "
            f"{around}; expected room for a text. Pass a smaller max_new_tokens, or an LLM that "
            "reads longer texts."
        )
    rest = None if room is None else room - around
    return [np.concatenate([opening, body[:rest], closing]) for body in bodies]


def ids_around_texts(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str]) -> list[TokenIds]:
    """Return the ids of a chat template before, between and after the texts of a conversation.

    Thinking is off, and the LLM's turn is next.

    Args:
        tokenizer: it has a chat template.
        roles: who says each text.

    Returns:
        One array more than there are texts.

    Raises:
        ValueError: if the template leaves a text out, repeats it, or moves it.
    """
    texts = [_PLACEHOLDER.format(place) for place in range(len(roles))]
    rendered = tokenizer.apply_chat_template(
        [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    any_text = "|".join(texts)
    if re.findall(any_text, str(rendered)) != texts:
        raise ValueError(
            f"the chat template does not show each text of the roles {', '.join(roles)} once and "
            "in their order; expected a template that does"
        )
    return [
        np.array(tokenizer(part, add_special_tokens=False)["input_ids"], dtype=np.int64)
        for part in re.split(any_text, str(rendered))
    ]


def switch_off_sampling(tokenizer: Tokenizer) -> None:
    """Let a text have the same ids each time: BPE dropout, a means of training, is random."""
    if isinstance(tokenizer.model, models.BPE):
        tokenizer.model.dropout = None


def utf8_text(text: str) -> str:
    """Return the text with surrogates replaced, as a tokenizer can only read valid UTF-8.

    Python strings can hold surrogates. A pair becomes the character that it encodes; a lone one
    becomes U+FFFD, the replacement character. Every other text is returned unchanged.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
