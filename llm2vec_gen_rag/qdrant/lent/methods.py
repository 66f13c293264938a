"""Which methods of a client a collection lends, and why it refuses the others.

A method that no list has, such as one of a later client, is refused until its place is known.
"""

from __future__ import annotations

from collections.abc import Collection

from llm2vec_gen_rag.errors import CollectionError

READS = {
    *("count", "facet", "query_batch_points", "query_points", "query_points_groups"),
    *("search_matrix_offsets", "search_matrix_pairs"),
    *("collection_exists", "collection_cluster_info", "get_collection", "get_collection_aliases"),
    *("get_optimizations", "list_shard_keys", "list_shard_snapshots", "list_snapshots"),
}
# They change how a collection is stored or searched, and neither what it holds nor who wrote it.
TUNES = {
    *("cluster_collection_update", "create_payload_index", "delete_payload_index"),
    *("create_shard_key", "delete_shard_key", "create_shard_snapshot", "delete_shard_snapshot"),
    *("create_snapshot", "delete_snapshot", "update_collection"),
}
# `LentClient` has them, and completes what they write.
COMPLETED = {
    *(
        "batch_update_points",
        "delete",
        "retrieve",
        "scroll",
        "upload_collection",
        "upload_points",
        "upsert",
    ),
}
# Each would leave a text beside another's vector, or one framework's half beside another's.
PARTIAL_WRITES = {
    *("set_payload", "overwrite_payload", "delete_payload", "clear_payload"),
    *("update_vectors", "delete_vectors", "create_vector_name", "delete_vector_name"),
}
# Each would leave a collection that does not say which model wrote it, or none.
REPLACES = {
    *("create_collection", "delete_collection", "recreate_collection"),
    *("recover_snapshot", "recover_shard_snapshot"),
}
# They name no collection.
OF_THE_STORE = {
    *("close", "cluster_status", "cluster_telemetry", "create_full_snapshot", "get_aliases"),
    *("delete_full_snapshot", "get_collections", "get_embedding_size", "info", "migrate"),
    *("list_full_snapshots", "list_image_models", "list_late_interaction_multimodal_models"),
    *("list_late_interaction_text_models", "list_sparse_models", "list_text_models"),
    *("recover_current_peer", "remove_peer", "update_collection_aliases"),
}
DOORS_TO_THE_SERVER = {"http", "grpc_points", "grpc_collections"}
_KEPT_SETTINGS = ("metadata", "sparse_vectors_config")


def require_lent(name: str, given: Collection[str]) -> None:
    """Raise unless a method leaves the collection whole, and written by its model.

    Args:
        name: The method, called for the collection.
        given: The names of its arguments.

    Raises:
        CollectionError: It does not, or this version does not know it.
    """
    if name in PARTIAL_WRITES:
        raise CollectionError(partial_write(name))
    if name in REPLACES:
        raise CollectionError(_replacement(name))
    changed = [setting for setting in _KEPT_SETTINGS if setting in given]
    if name == "update_collection" and changed:
        raise CollectionError(
            f"update_collection({changed[0]}=...) could change what this collection remembers of "
            "its model, or the words of its hybrid search; expected other settings. Leave "
            f"{changed[0]} out."
        )
    if name not in READS | TUNES:
        raise CollectionError(
            f"{name} is not known to this version of llm2vec-gen-rag, which could not keep the "
            f"collection whole; expected one of {', '.join(sorted(READS | TUNES | COMPLETED))}. "
            "Update llm2vec-gen-rag, or use a QdrantClient of your own and call adopt() afterwards."
        )


def partial_write(name: str) -> str:
    """Return the error for a method that would write part of a point."""
    return (
        f"{name} could leave a point of this collection incomplete: a text beside the vector of "
        "another, or what only one framework can read. Index the document again, upsert the whole "
        "point, or use a QdrantClient of your own and call adopt() afterwards."
    )


def _replacement(name: str) -> str:
    return (
        f"{name} would leave this collection without the record of the model that wrote it, or "
        "without the words of its hybrid search. To empty it, call delete(collection_name, "
        "qdrant_client.models.Filter()). To remove or restore it, close it and use a QdrantClient "
        "of your own; DocumentCollection.open(...) creates it again."
    )
