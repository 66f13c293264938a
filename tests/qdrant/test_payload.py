"""The payload that both frameworks read."""

from __future__ import annotations

import json

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict

from llm2vec_gen_rag.qdrant import Document
from llm2vec_gen_rag.qdrant.points.payload import complete_payload, document_payload

BEAR = "Polar bears live on the sea ice of the Arctic."


def test_our_node_is_what_llama_index_would_have_written():
    document = Document(BEAR, id="bear", metadata={"lang": "en", "tags": ["a", "b"], "none": None})
    node = TextNode(
        id_=document.point_id,
        text=BEAR,
        metadata=dict(document.metadata),
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="bear")},
    )
    expected = node_to_metadata_dict(node)
    ours = document_payload(document, "")
    assert json.loads(ours["_node_content"]) == json.loads(expected.pop("_node_content"))
    assert {key: ours[key] for key in expected} == expected


def test_a_payload_of_neither_framework_stays_as_it_is():
    assert complete_payload(1, {"colour": "red"}) == {"colour": "red"}
