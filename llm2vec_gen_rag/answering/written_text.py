"""Token ids, as they are written -> text that no later token will change.

A token can end inside a character, and a stop word can be spread over several tokens. What is not
certain yet is held back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.decoder import read_ids

_REPLACEMENT = "\ufffd"  # what a tokenizer shows of a character's first bytes
_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a token of one byte, in vocabularies of characters


def stop_words(stop: Sequence[str]) -> tuple[str, ...]:
    """Return checked stop words.

    Args:
        stop: the words.

    Returns:
        The same words.

    Raises:
        ValueError: if it is not a list of strings, or one is empty.
    """
    if isinstance(stop, str) or not all(isinstance(word, str) and word for word in stop):
        raise ValueError(f"stop is {stop!r:.80}; expected a list of strings that are not empty")
    return tuple(stop)


class WrittenText:
    """The text of one answer, cut before the first stop word.

    Attributes:
        stopped: whether a stop word was written.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, ends: Set[int], stop: Sequence[str]
    ) -> None:
        """Begin an answer.

        Args:
            tokenizer: reads the ids.
            ends: the ids that end an answer.
            stop: the stop words.
        """
        self._tokenizer = tokenizer
        self._ends = ends
        self._stop = stop_words(stop)
        self._shown = 0
        self.stopped = False

    def grown(self, written: Sequence[int], *, finished: bool) -> str:
        """Return the text that has become certain.

        Args:
            written: all ids of the answer so far.
            finished: whether there will be no more.

        Returns:
            What follows the text returned before.
        """
        text = self._read(written, finished=finished)
        places = [place for word in self._stop if (place := text.find(word, self._shown)) >= 0]
        if places:
            self.stopped = True
            text = text[: min(places)]
        elif not finished:
            text = text[: len(text) - self._begun_stop_word(text)]
        new = text[self._shown :]
        self._shown = max(self._shown, len(text))
        return new

    def _read(self, written: Sequence[int], *, finished: bool) -> str:
        """Return the text of the ids, without a character of which bytes may be missing."""
        if finished:
            return read_ids(self._tokenizer, [written], self._ends)[0]
        kept = len(written)
        while kept and self._is_byte(written[kept - 1]):
            kept -= 1
        return read_ids(self._tokenizer, [written[:kept]], self._ends)[0].rstrip(_REPLACEMENT)

    def _is_byte(self, token: int) -> bool:
        """Return whether a token is one byte, of which several may make one character."""
        name = self._tokenizer.convert_ids_to_tokens(token)  # None for an id that pads the logits
        return name is not None and _BYTE.fullmatch(str(name)) is not None

    def _begun_stop_word(self, text: str) -> int:
        """Return how many characters at the end may turn out to begin a stop word."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(text) - self._shown), 0, -1):
            if any(word.startswith(text[-length:]) for word in self._stop):
                return length
        return 0
