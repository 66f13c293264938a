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
from llm2vec_gen_rag.qdrant.opening.layout import require_vectors_of, vectors_of
from llm2vec_gen_rag.qdrant.opening.llm_identity import LLMIdentity
from llm2vec_gen_rag.qdrant.opening.local_folder import is_local, require_no_leftovers
from llm2vec_gen_rag.qdrant.points.payload import BESIDE_KEY, PARENT_KEY, SOURCE_KEY

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

IDENTITY_KEY = "llm2vec_gen"
# Of the identity, the payload, the words of hybrid search and the vectors' names: increased by a
# change that old code cannot read, or that makes new code miss what old code wrote.
FORMAT = 4


@dataclass(frozen=True)
class Identity:
    """The model that wrote a collection, and its instructions.

    Attributes:
        format: The version of the collection's layout.
        model: The model's name, to load it again.
        revision: Its revision on the hub; None for a folder.
        fingerprint: `LLM2VecGen.trained_digest`, the same whatever the model's name.
        llm: The frozen LLM under it.
        dimension: The length of its vectors.
        document_instruction: What was put before every document.
        query_instructions: What is put before a query, by task.
    """

    format: int
    model: str
    revision: str | None
    fingerprint: str
    llm: LLMIdentity
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
            fingerprint=model.trained_digest,
            llm=LLMIdentity.of(model),
            dimension=model.dimension,
            document_instruction=model.prompts.document,
            query_instructions=dict(model.prompts.query),
        )

    @classmethod
    def read(cls, record: dict[str, Any]) -> Identity:
        """Return the identity that a collection of this format holds.

        Args:
            record: What `dataclasses.asdict` made of it.

        Returns:
            The identity.

        Raises:
            ValueError: A part is missing, unknown or of another type.
        """
        try:
            tasks = dict(record["query_instructions"])
            parts = {**record, "query_instructions": tasks, "llm": LLMIdentity.read(record["llm"])}
            return cls(**parts)
        except (TypeError, KeyError) as error:
            raise ValueError(f"a part is missing or unknown ({error})") from error

    def difference(self, other: Identity) -> str | None:
        """Return why ``other`` cannot read what this one wrote; None if it can.

        The name may differ, as a folder may move. Tasks that only one of the two knows are no
        difference: they do not change the documents' vectors.
        """
        for field in ("dimension", "fingerprint", "document_instruction"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine != theirs:
                return f"its {field.replace('_', ' ')} is {mine!r}, and yours is {theirs!r}"
        for task in self.query_instructions.keys() & other.query_instructions.keys():
            mine, theirs = self.query_instructions[task], other.query_instructions[task]
            if mine != theirs:
                return f"its query instruction for {task!r} is {mine!r}, and yours is {theirs!r}"
        return self.llm.difference(other.llm)


def claim(client: QdrantClient, name: str, model: LLM2VecGen) -> None:
    """Create the collection for this model, or check that this model wrote it.

    Args:
        client: The collection's client.
        name: The collection.
        model: The model.

    Raises:
        CollectionMismatchError: Another model, or something else, wrote it.
        CollectionError: The server does not keep a collection's metadata, or what the collection
            says of its model or its vectors is damaged.
    """
    identity = Identity.of(model)
    if not client.collection_exists(name):
        _create(client, name, identity)
    config = client.get_collection(name).config
    remembered = (config.metadata or {}).get(IDENTITY_KEY)
    if remembered is None:
        raise CollectionMismatchError(
            f"Collection {name!r} does not say which model wrote it: llm2vec-gen-rag did not "
            "create it. Index your documents into another collection name, or embed its texts "
            "beside its own vectors with AdoptedCollection.open(...) (on the command line: adopt)."
        )
    require_writer(name, remembered, identity)
    require_vectors_of(client, name, config.params, identity.dimension)


def _create(client: QdrantClient, name: str, identity: Identity) -> None:
    """Create the collection, unless another creator was faster: theirs is then read and checked."""
    require_no_leftovers(client, name)
    try:
        client.create_collection(
            name,
            metadata={IDENTITY_KEY: asdict(identity)},
            **vectors_of(identity.dimension),
        )
    except (CollectionError, ValueError) as error:  # a server's conflict, or local mode's
        lost_disk = is_local(client) and isinstance(error, CollectionError)
        if lost_disk or not client.collection_exists(name):
            raise
        return
    if is_local(client):
        return  # no payload indexes there, only a warning about them
    if not client.get_collection(name).config.metadata:
        client.delete_collection(name)
        raise CollectionError(
            "The Qdrant server does not keep collection metadata, where a collection remembers "
            "its model. Expected Qdrant 1.16 or newer; update the server, or pass a folder."
        )
    for key in (BESIDE_KEY, SOURCE_KEY, PARENT_KEY):
        client.create_payload_index(name, key, models.PayloadSchemaType.KEYWORD)


def require_writer(name: str, remembered: Any, identity: Identity) -> None:
    """Raise if the model cannot read the collection that holds this record of its writer."""
    try:
        written = dict(remembered)
        _require_format(name, written)
        difference = Identity.read(written).difference(identity)
    except (TypeError, ValueError) as error:
        raise CollectionError(
            f"What collection {name!r} remembers of its model is damaged ({error}); expected what "
            "llm2vec-gen-rag wrote there. Restore it from a backup, or index your documents into "
            "another collection name."
        ) from error
    if difference is not None:
        raise CollectionMismatchError(
            f"Collection {name!r} was written by {_writer(written)}: {difference}. Load that model "
            "with its own base model, dtype and instructions, or index your documents into another "
            f"collection name with {identity.model!r}."
        )


def _require_format(name: str, remembered: dict[str, Any]) -> None:
    """Raise unless the collection has this version's format."""
    found = remembered.get("format")
    if found == FORMAT:
        return
    remedy = "index your documents again, into another collection name"
    if isinstance(found, int) and found > FORMAT:
        remedy = f"update llm2vec-gen-rag, or {remedy}"
    raise CollectionMismatchError(
        f"Collection {name!r} was written by {_writer(remembered)}: its format is {found!r}, and "
        f"this version reads {FORMAT}. To use it, {remedy} (on the command line: "
        "llm2vec-gen-rag index FOLDER --collection NAME)."
    )


def _writer(remembered: dict[str, Any]) -> str:
    revision = remembered.get("revision")
    return repr(remembered.get("model")) + (f" revision {revision!r}" if revision else "")
