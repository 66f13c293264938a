"""The payload that both frameworks read: LangChain's half, LlamaIndex's half, and our own stamp.

LangChain stores ``page_content`` and a nested ``metadata``. LlamaIndex stores the metadata flat,
for its filters, and the whole node as JSON in ``_node_content``. Neither reads the other's half:
LangChain finds an empty text in a point that LlamaIndex wrote. A complete payload has both.

Metadata may have any names, these too. LlamaIndex's flat copy of it then lies where the other half
belongs, so the node is what tells its text and its metadata, and nothing that lies beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from llm2vec_gen_rag.qdrant.documents import Document
from llm2vec_gen_rag.qdrant.points.stamps import Holder, Stamp

TEXT_KEY = "page_content"  # langchain_qdrant.QdrantVectorStore.CONTENT_KEY
METADATA_KEY = "metadata"  # langchain_qdrant.QdrantVectorStore.METADATA_KEY
NODE_KEY = "_node_content"  # llama_index.core.vector_stores.utils.node_to_metadata_dict
STAMP_KEY = "_llm2vec_gen"
ID_KEY = f"{STAMP_KEY}.id"
SOURCE_KEY = f"{STAMP_KEY}.sources[].source"
STATE_KEY = f"{STAMP_KEY}.state"
BESIDE_KEY = f"{STAMP_KEY}.beside"  # the point of the id, in one that lies beside it

_NODE_TYPE_KEY = "_node_type"
# LlamaIndex writes the parent document's id under three names; its store deletes by the second.
PARENT_KEY = "doc_id"
_PARENT_KEYS = ("document_id", PARENT_KEY, "ref_doc_id")
_RESERVED = {TEXT_KEY, METADATA_KEY, NODE_KEY, STAMP_KEY, _NODE_TYPE_KEY, *_PARENT_KEYS}


def document_payload(
    document: Document, holders: Iterable[Holder], point: str | None = None
) -> dict[str, Any]:
    """Return the complete payload of a document.

    Args:
        document: The document.
        holders: The sources that hold it.
        point: The point that it is written to; None stands for the point of its id.

    Returns:
        A new dictionary.
    """
    of_id = document.point_id
    point = of_id if point is None else point
    payload = {
        TEXT_KEY: document.text,
        METADATA_KEY: dict(document.metadata),
        STAMP_KEY: {
            "id": of_id if document.id is None else document.id,
            **Stamp.of(document, holders).fields(point),
            **({} if point == of_id else {"beside": of_id}),
        },
    }
    return complete_payload(point, payload)


def restamped(payload: Mapping[str, Any], stamp: Stamp, point: str) -> dict[str, Any]:
    """Return a point's payload with another stamp, and nothing else changed."""
    return {**payload, STAMP_KEY: {**payload.get(STAMP_KEY, {}), **stamp.fields(point)}}


def complete_payload(point_id: int | str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload with the half that a framework's own store left out.

    A payload with neither half is returned unchanged. Where there is a node, it is the truth.

    Args:
        point_id: The point's id, which becomes the id of the LlamaIndex node.
        payload: What the point holds, or is about to hold.

    Returns:
        A new dictionary.
    """
    node = read_node(payload)
    if node is not None:
        langchain_half = {TEXT_KEY: node_text(node), METADATA_KEY: node_metadata(node)}
        return {**payload, **langchain_half}
    if TEXT_KEY in payload:
        whole = {**payload, METADATA_KEY: payload.get(METADATA_KEY) or {}}  # LangChain's None
        return {**whole, **_node_half(point_id, whole)}
    return dict(payload)


def lacks_half(point_id: int | str, payload: Mapping[str, Any]) -> bool:
    """Return whether a point has a text, and less than what `complete_payload` gives."""
    if read_node(payload) is None and not isinstance(payload.get(TEXT_KEY), str):
        return False
    is_foreign_stamp = STAMP_KEY in payload and not stamp_of(payload)
    return is_foreign_stamp or not same_json(payload, complete_payload(point_id, payload))


def same_json(one: object, other: object) -> bool:
    """Return whether two values are the same JSON, where NaN equals NaN, and 1 is not 1.0."""
    first, second = (json.dumps(v, sort_keys=True, default=str) for v in (one, other))
    return first == second


def read_payload(point_id: int | str, payload: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return text and metadata of a point, whichever framework wrote it."""
    complete = complete_payload(point_id, payload)
    return complete.get(TEXT_KEY) or "", complete.get(METADATA_KEY) or {}


def read_id(point_id: int | str, payload: Mapping[str, Any]) -> str:
    """Return the id that the point was written with: the document's own, or a store's caller's."""
    written = stamp_of(payload).get("id")
    return str(point_id if written is None else written)


def read_stamp(payload: Mapping[str, Any]) -> Stamp | None:
    """Return the stamp of a point; None if something else than `index` or `sync` wrote it."""
    return Stamp.read(stamp_of(payload))


def stamp_at(point_id: int | str, payload: Mapping[str, Any]) -> Stamp | None:
    """Return the stamp that was written for this very point.

    Another one, that a user copied or that is malformed, is None: no source holds the point, so
    that none replaces or removes it.
    """
    stamp = read_stamp(payload)
    is_own = stamp is not None and stamp.state(str(point_id)) == stamp_of(payload).get("state")
    return stamp if is_own else None


def stamp_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what this library noted of a point; empty if it noted nothing."""
    stamp = payload.get(STAMP_KEY)
    if not isinstance(stamp, dict):
        return {}
    node = read_node(payload)
    is_flat_copy = node is not None and node_metadata(node).get(STAMP_KEY) == stamp
    return {} if is_flat_copy else stamp


def read_node(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the JSON of the payload's LlamaIndex node; None if there is none."""
    content = payload.get(NODE_KEY)
    if not isinstance(content, str):
        return None
    try:
        node = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return node if isinstance(node, dict) and isinstance(node.get("id_"), str) else None


def node_text(node: Mapping[str, Any]) -> str:
    """Return the text of a node: `text` in older kinds, `text_resource` in newer ones."""
    resource = node.get("text_resource") or {}
    return str(node.get("text") or resource.get("text") or "")


def node_metadata(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a node."""
    metadata = node.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _node_half(point_id: int | str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what LlamaIndex's `node_to_metadata_dict` gives, without importing it."""
    metadata = payload[METADATA_KEY]
    parent = read_id(point_id, payload)
    # A name that a payload key already has stays out of the flat copy: it cannot be filtered by
    # from LlamaIndex, but it is in the node and in LangChain's half.
    flat = {name: value for name, value in metadata.items() if name not in _RESERVED}
    node = _text_node(str(point_id), payload.get(TEXT_KEY) or "", metadata, parent)
    return {
        **flat,
        # LangChain allows metadata that JSON does not know, such as dates: in both halves alike
        NODE_KEY: json.dumps(node, ensure_ascii=False, default=to_jsonable_python),
        _NODE_TYPE_KEY: "TextNode",
        **dict.fromkeys(_PARENT_KEYS, parent),
    }


def _text_node(node_id: str, text: str, metadata: Mapping[str, Any], parent: str) -> dict[str, Any]:
    """Return the JSON of `llama_index.core.schema.TextNode`, with its defaults."""
    source: dict[str, Any] = {
        "node_id": parent,
        "node_type": None,
        "metadata": {},
        "hash": None,
        "class_name": "RelatedNodeInfo",
    }
    return {
        "id_": node_id,
        "embedding": None,
        "metadata": dict(metadata),
        "excluded_embed_metadata_keys": [],
        "excluded_llm_metadata_keys": [],
        "relationships": {"1": source},  # NodeRelationship.SOURCE
        "metadata_template": "{key}: {value}",
        "metadata_separator": "\n",
        "text": text,
        "mimetype": "text/plain",
        "start_char_idx": None,
        "end_char_idx": None,
        "text_template": "{metadata_str}\n\n{content}",
        "class_name": "TextNode",
    }
