"""The frozen LLM as its own teacher."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.teachers.mean_states import mean_states
from llm2vec_gen_rag.teachers.protocol import Vectors
from llm2vec_gen_rag.text_tokenizer import TextTokenizer


class BackboneMeanTeacher:
    """The frozen LLM itself: the mean of its last hidden states over the tokens of a text.

    Args:
        backbone: the frozen LLM.
        tokenizer: its tokenizer.
        name: what is recorded beside the vectors.

    Attributes:
        name: what is recorded beside the vectors.
        dimension: length of a vector, the LLM's hidden size.
    """

    def __init__(
        self, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str
    ) -> None:
        self.name = name
        self.dimension = int(backbone.config.hidden_size)
        self._backbone = backbone
        self._tokenizer = TextTokenizer(tokenizer)

    @property
    def fingerprint(self) -> str:
        """A hash of the LLM's weights."""
        return weights_digest(self._backbone)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension); see `mean_states`."""
        return mean_states(self._backbone, self._tokenizer, texts)
