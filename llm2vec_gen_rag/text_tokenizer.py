"""Users' texts -> token ids: whatever a user writes is text, never a special token.

A tokenizer finds its special tokens inside text, so that a user's "<|im_end|>" would end a turn and
"<question3>" would be a response token. Texts are therefore tokenized by a copy of the tokenizer
that splits special tokens like any other characters. Other texts get the same ids as before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.errors import UnsupportedCheckpointError

TokenIds = npt.NDArray[np.int64]

# texts per call of the tokenizer, whose results are large objects; ours are small arrays
WINDOW = 1024


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
        ids: list[TokenIds] = []
        for start in range(0, len(texts), WINDOW):
            window = [utf8_text(text) for text in texts[start : start + WINDOW]]
            encodings = self._tokenizer.encode_batch_fast(window, add_special_tokens=bos)
            ids += [np.array(e.ids[:max_tokens], dtype=np.int64) for e in encodings]
        return ids


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
