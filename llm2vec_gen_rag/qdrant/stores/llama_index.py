"""LlamaIndex's Qdrant store, which can be cleared; imported when one is asked for."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from pydantic import ValidationError
from pydantic_core import to_jsonable_python
from qdrant_client import models

from llm2vec_gen_rag.qdrant.call_arguments import as_ids
from llm2vec_gen_rag.qdrant.json_values import require_json, require_text
from llm2vec_gen_rag.qdrant.points.ids import require_one_spelling
from llm2vec_gen_rag.qdrant.points.malformed import require_well_formed
from llm2vec_gen_rag.qdrant.points.payload import (
    METADATA_KEY,
    TEXT_KEY,
    complete_payload,
    read_node,
    read_payload,
)
from llm2vec_gen_rag.qdrant.stores.hybrid_llama_index import HybridLlamaIndexStore

_EVERYTHING = models.FilterSelector(filter=models.Filter())


class LlamaIndexStore(HybridLlamaIndexStore):
    """`llama_index.vector_stores.qdrant.QdrantVectorStore`, except for four things.

    - Clearing it empties the collection. There it is deleted, and created with the next nodes:
      without the record of the model that wrote it, and without the words for hybrid search.
    - Ids that are no list of them, and filters without a value, are refused by name.
    - Metadata that JSON would change is refused. There NaN becomes None, and 1 the name "1".
    - Hybrid search is ours; see `HybridLlamaIndexStore`.
    """

    def add(  # type: ignore[override]  # as upstream's
        self, nodes: list[BaseNode], shard_identifier: Any | None = None, **kwargs: Any
    ) -> list[str]:
        """Add nodes with embeddings; see `llama_index.vector_stores.qdrant.QdrantVectorStore.add`.

        Args:
            nodes: The nodes.
            shard_identifier: As there.
            **kwargs: As there.

        Returns:
            Their ids.

        Raises:
            ValueError: One of them has no embedding, or holds what no
                `llm2vec_gen_rag.qdrant.Document` could, or two ids are spellings of one UUID.
        """
        _check_nodes(nodes)
        return super().add(nodes, shard_identifier, **kwargs)

    async def async_add(  # type: ignore[override]  # as upstream's
        self, nodes: list[BaseNode], shard_identifier: Any | None = None, **kwargs: Any
    ) -> list[str]:
        """Add nodes with embeddings; see `add`."""
        _check_nodes(nodes)
        return await super().async_add(nodes, shard_identifier, **kwargs)

    def delete(
        self, ref_doc_id: str, shard_identifier: Any | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes of a document of LlamaIndex's; see upstream's.

        Args:
            ref_doc_id: The document's id.
            shard_identifier: As there.
            **delete_kwargs: As there.

        Raises:
            ValueError: The id is no string.
        """
        require_text("ref_doc_id", ref_doc_id)
        super().delete(ref_doc_id, shard_identifier, **delete_kwargs)

    async def adelete(
        self, ref_doc_id: str, shard_identifier: Any | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes of a document of LlamaIndex's; see `delete`."""
        require_text("ref_doc_id", ref_doc_id)
        await super().adelete(ref_doc_id, shard_identifier, **delete_kwargs)

    def get_nodes(self, node_ids: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return the nodes with these ids, or that pass filters; see upstream's."""
        return super().get_nodes(_listed_or_none(node_ids), *args, **kwargs)

    async def aget_nodes(self, node_ids: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return the nodes with these ids, or that pass filters; see upstream's."""
        return await super().aget_nodes(_listed_or_none(node_ids), *args, **kwargs)

    def delete_nodes(self, node_ids: list[str] | None = None, *args: Any, **kwargs: Any) -> None:
        """Delete the nodes with these ids, or that pass filters; see upstream's."""
        super().delete_nodes(_listed_or_none(node_ids), *args, **kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Delete the nodes with these ids, or that pass filters; see upstream's."""
        await super().adelete_nodes(_listed_or_none(node_ids), *args, **kwargs)

    def _build_query_filter(self, query: VectorStoreQuery) -> Any | None:
        if query.filters is not None:
            _require_filters(query.filters)
        return super()._build_query_filter(query)

    def _build_subfilter(self, filters: MetadataFilters) -> models.Filter:
        _require_filters(filters)
        for each in filters.filters:
            if isinstance(each, MetadataFilter):
                _require_value(each)
        try:
            return super()._build_subfilter(filters)
        except ValidationError as error:
            raise ValueError(
                f"filters are {filters.filters!r:.200}, which Qdrant cannot look for; expected a "
                "string or a whole number for ==, a number for > and the like, a list for in. For "
                "anything else pass a qdrant_client.models.Filter as qdrant_filters to query."
            ) from error

    def parse_to_query_result(self, response: list[Any]) -> VectorStoreQueryResult:
        """Return the nodes of points that were found; see upstream's.

        Args:
            response: The points.

        Returns:
            The nodes. One of a point without a text has an empty text, as its hit does.

        Raises:
            CollectionError: Another client wrote a point that cannot be read.
        """
        for point in response:
            require_well_formed(self.collection_name, point.id, point.payload)
        return super().parse_to_query_result([_with_node(point) for point in response])

    def clear(self) -> None:
        """Delete every document of the collection, whoever wrote it."""
        self._client.delete(self.collection_name, _EVERYTHING)

    async def aclear(self) -> None:
        """Delete every document of the collection, whoever wrote it."""
        await self._aclient.delete(self.collection_name, _EVERYTHING)


def _require_filters(given: object) -> None:
    if not isinstance(given, MetadataFilters):
        raise ValueError(
            f"filters is {given!r:.80}; expected llama_index.core.vector_stores.MetadataFilters, "
            'such as MetadataFilters(filters=[MetadataFilter(key="lang", value="en")]).'
        )


def _require_value(given: MetadataFilter) -> None:
    """Raise ValueError for a filter without a value, where upstream asks for "None" or for all."""
    if given.value is None and given.operator != FilterOperator.IS_EMPTY:
        raise ValueError(
            f"filter {given.key!r} has the value None; expected a string, a number or a list. For "
            "nodes that have no value there, pass operator=FilterOperator.IS_EMPTY."
        )


def _with_node(point: Any) -> Any:
    """Return a point with the node that another client left out."""
    if read_node(point.payload) is not None:
        return point
    text, metadata = read_payload(point.id, point.payload)
    half = {**point.payload, TEXT_KEY: text, METADATA_KEY: metadata}
    return point.model_copy(update={"payload": complete_payload(point.id, half)})


def _listed_or_none(node_ids: Any) -> list[str] | None:
    return None if node_ids is None else as_ids("node_ids", node_ids)


def _check_nodes(nodes: Any) -> None:
    """Raise ValueError unless every node can be written, and comes back as it was."""
    if not isinstance(nodes, list | tuple):
        raise ValueError(f"nodes is {nodes!r:.80}; expected a list of nodes, such as [node].")
    spellings: dict[str, str] = {}
    for place, node in enumerate(nodes):
        if not isinstance(node, BaseNode):
            raise ValueError(
                f"nodes[{place}] is {node!r:.80}; expected a node of LlamaIndex, such as "
                "TextNode(text=...) with its embedding."
            )
        if node.embedding is None:
            raise ValueError(
                f"node {node.node_id!r} has no embedding; expected that of its text. Add it "
                "through a VectorStoreIndex with embed_model=LLM2VecGenEmbedding(model=...)."
            )
        require_one_spelling(node.node_id, spellings)
        require_text(f"text of node {node.node_id!r}", node.get_content())
        require_json(f"metadata of node {node.node_id!r}", node.metadata, to_jsonable_python)
