"""What a collection remembers of the model that wrote it, and the check that refuses others.

Vectors of two models, or of one model under two instructions, may have the same dimension and
still not be comparable: nothing fails, the hits are just wrong. So the collection's own metadata
identifies the model that wrote it, and opening it with another is an error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError, CollectionMismatchError
from llm2vec_gen_rag.qdrant.bm25 import SPARSE_VECTOR
from llm2vec_gen_rag.qdrant.connection import is_local
from llm2vec_gen_rag.qdrant.payload import PARENT_KEY, SOURCE_KEY

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

IDENTITY_KEY = "llm2vec_gen"
FORMAT = 1  # of the payload and the vectors' names: increased by a change that old code cannot read


@dataclass(frozen=True)
class Identity:
    """The model that wrote a collection, and its instructions.

    Attributes:
        format: The version of the collection's layout.
        model: The model's name, to load it again.
        revision: Its revision on the hub; None for a folder.
        fingerprint: `LLM2VecGen.fingerprint`, the same whatever the model's name.
        dimension: The length of its vectors.
        document_instruction: What was put before every document.
        query_instructions: What is put before a query, by task.
    """

    format: int
    model: str
    revision: str | None
    fingerprint: str
    dimension: int
    document_instruction: str
    query_instructions: dict[str, str]

    @classmethod
    def of(cls, model: LLM2VecGen) -> Identity:
        """Return the identity of a model."""
        return cls(
            format=FORMAT,
            model=model.name,
            revision=model.revision,
            fingerprint=model.fingerprint,
            dimension=model.dimension,
            document_instruction=model.prompts.document,
            query_instructions=dict(model.prompts.query),
        )

    def difference(self, other: Identity) -> str | None:
        """Return why ``other`` cannot read what this one wrote; None if it can.

        The name may differ, as a folder may move. Tasks that only one of the two knows are no
        difference: they do not change the documents' vectors.
        """
        for field in ("format", "dimension", "fingerprint", "document_instruction"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine != theirs:
                return f"its {field.replace('_', ' ')} is {mine!r}, and yours is {theirs!r}"
        for task in self.query_instructions.keys() & other.query_instructions.keys():
            mine, theirs = self.query_instructions[task], other.query_instructions[task]
            if mine != theirs:
                return f"its query instruction for {task!r} is {mine!r}, and yours is {theirs!r}"
        return None


def claim(client: QdrantClient, name: str, model: LLM2VecGen) -> None:
    """Create the collection for this model, or check that this model wrote it.

    Args:
        client: The collection's client.
        name: The collection.
        model: The model.

    Raises:
        CollectionMismatchError: Another model, or something else, wrote it.
        CollectionError: The server does not keep a collection's metadata.
    """
    identity = Identity.of(model)
    if not client.collection_exists(name):
        _create(client, name, identity)
    remembered = (client.get_collection(name).config.metadata or {}).get(IDENTITY_KEY)
    if remembered is None:
        raise CollectionMismatchError(
            f"Collection {name!r} does not say which model wrote it: llm2vec-gen-rag did not "
            "create it. Index your documents into another collection name."
        )
    _check(name, remembered, identity)


def _create(client: QdrantClient, name: str, identity: Identity) -> None:
    client.create_collection(
        name,
        vectors_config=models.VectorParams(
            size=identity.dimension, distance=models.Distance.COSINE
        ),
        sparse_vectors_config={
            SPARSE_VECTOR: models.SparseVectorParams(modifier=models.Modifier.IDF)
        },
        metadata={IDENTITY_KEY: asdict(identity)},
    )
    if is_local(client):
        return  # no payload indexes there, only a warning about them
    if not client.get_collection(name).config.metadata:
        client.delete_collection(name)
        raise CollectionError(
            "The Qdrant server does not keep collection metadata, where a collection remembers "
            "its model. Expected Qdrant 1.16 or newer; update the server, or pass a folder."
        )
    for key in (SOURCE_KEY, PARENT_KEY):
        client.create_payload_index(name, key, models.PayloadSchemaType.KEYWORD)


def _check(name: str, remembered: dict[str, Any], identity: Identity) -> None:
    if remembered.get("format") != FORMAT:
        difference: str | None = (
            f"its format is {remembered.get('format')!r}, and this version reads {FORMAT}"
        )
    else:
        difference = Identity(**remembered).difference(identity)
    if difference is None:
        return
    revision = remembered.get("revision")
    writer = repr(remembered.get("model")) + (f" revision {revision!r}" if revision else "")
    raise CollectionMismatchError(
        f"Collection {name!r} was written by {writer}: {difference}. Load that model with its "
        f"own instructions, or index your documents into another collection name with "
        f"{identity.model!r}."
    )
