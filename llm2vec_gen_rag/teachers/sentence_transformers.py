"""Any sentence-transformers model as the teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from safetensors import SafetensorError

from llm2vec_gen_rag.backbone.device import pick_device
from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults
from llm2vec_gen_rag.errors import TeacherError, first_line, require_extra
from llm2vec_gen_rag.teachers.protocol import Vectors
from llm2vec_gen_rag.text_tokenizer import utf8_text


class SentenceTransformersTeacher:
    """A sentence-transformers model, with its own pooling, maximum length and normalisation.

    Attributes:
        name: what is recorded beside the vectors.
        dimension: length of a vector.
    """

    @torch_defaults()
    def __init__(self, name: str, *, device: str | torch.device | None = None) -> None:
        """Load the model; code from its repository is never run.

        Args:
            name: a hub id, such as "sentence-transformers/all-MiniLM-L6-v2", or a folder.
            device: where to run; None picks the best available.

        Raises:
            MissingExtraError: if sentence-transformers is not installed.
            TeacherError: if the model cannot be loaded.
        """
        require_extra("sentence-transformers", "sentence_transformers")
        from sentence_transformers import SentenceTransformer

        self.name = name
        picked = pick_device(device)
        try:
            self._model = SentenceTransformer(name, device=str(picked), trust_remote_code=False)
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
            raise TeacherError(
                f"the sentence-transformers model {name!r} cannot be loaded ({first_line(error)}); "
                "expected a hub id or a folder of one that needs no code of its own"
            ) from error
        self.dimension = self._encode(["text"]).shape[1]

    @property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        return weights_digest(self._model)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension); the vector of an empty text is zero."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        filled = [row for row, text in enumerate(texts) if text]
        if filled:
            vectors[filled] = self._encode([texts[row] for row in filled])
        return vectors

    def _encode(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text; the library itself batches texts of nearly equal length."""
        readable = [utf8_text(text) for text in texts]
        with torch_defaults(self._model.device.type):
            vectors = self._model.encode(readable, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)
