"""The keys and values of what the LLM has read, in buffers that grow."""

from __future__ import annotations

import torch
from torch import Tensor

from llm2vec_gen_rag.cpu.layer import KeysValues
from llm2vec_gen_rag.cpu.packing import Packing

ROOM = 64  # tokens by which a buffer grows: each of as many steps reads all that a copy reads


class KVCache:
    """What precedes the tokens that texts go on with: first whole prompts, then a token of each.

    A buffer has the tokens of a text from its first column on. What follows them is finite, and
    attention masks it.
    """

    def __init__(self, texts: int) -> None:
        """Begin before the first token.

        Args:
            texts: how many there are.
        """
        self._lengths = torch.zeros(texts, dtype=torch.long)
        self._columns = 0  # of the longest text
        self._layers: list[KeysValues] = []  # each (texts, key heads, capacity, head)

    def positions(self, packing: Packing) -> Tensor:
        """Return the position of each packed row in its text, (rows,)."""
        return self._lengths if self._columns else packing.positions

    def key_positions(self, packing: Packing) -> Tensor:
        """Return the positions of padded rows among the keys, (width,) or (texts, width)."""
        if self._columns == 0:
            return torch.arange(packing.width)
        are_equal = bool((self._lengths == self._columns).all())
        return self._lengths[:1] if are_equal else self._lengths[:, None]

    def extend(self, layer: int, own: KeysValues) -> KeysValues:
        """Keep keys and values of the next tokens, behind those before.

        Args:
            layer: its index.
            own: keys and values, each (texts, key heads, width, head).

        Returns:
            Those of all tokens so far, views of the buffers, each (texts, key heads, tokens, head).
        """
        width = own[0].shape[2]
        if layer == len(self._layers):
            self._layers.append((_with_room(own[0]), _with_room(own[1])))
        else:
            self._write(layer, own)
        keys, values = self._layers[layer]
        seen = self._columns + width
        return keys[:, :, :seen], values[:, :, :seen]

    def advance(self, tokens: Tensor) -> None:
        """Count tokens of each text, (texts,), once every layer has those kept."""
        self._lengths = self._lengths + tokens
        self._columns = int(self._lengths.max())

    def keep(self, unfinished: Tensor) -> None:
        """Forget all texts but some, int64 indices in order."""
        self._lengths = self._lengths[unfinished]
        self._columns = int(self._lengths.max())
        for layer, (keys, values) in enumerate(self._layers):  # one is there twice at a time
            kept = keys.index_select(0, unfinished), values.index_select(0, unfinished)
            self._layers[layer] = kept

    def _write(self, layer: int, own: KeysValues) -> None:
        """Write one token of each text behind what a layer has of it."""
        if self._columns == self._layers[layer][0].shape[2]:
            keys, values = self._layers[layer]
            self._layers[layer] = _with_room(keys), _with_room(values)
        for buffer, part in zip(self._layers[layer], own, strict=True):
            if len(buffer) == 1:  # several times as fast
                buffer[:, :, self._columns : self._columns + 1] = part
            else:
                buffer[torch.arange(len(buffer)), :, self._lengths] = part[:, :, 0]


def _with_room(part: Tensor) -> Tensor:
    """Return a copy with zeros behind it, (texts, key heads, capacity, head)."""
    texts, heads, tokens, width = part.shape
    room = torch.zeros(texts, heads, tokens + ROOM, width, dtype=part.dtype)
    room[:, :, :tokens] = part
    return room
