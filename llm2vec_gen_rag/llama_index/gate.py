"""A refusal gate in LlamaIndex: before a retriever, or among the node postprocessors."""

from __future__ import annotations

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from llama_index.core.bridge.pydantic import Field
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle
except ModuleNotFoundError as missing:
    raise MissingExtraError("llama-index", "llama_index.core") from missing

import numpy as np

from llm2vec_gen_rag.frameworks.gated import acheck, check, require_gate, reusing
from llm2vec_gen_rag.frameworks.query_vectors import was_given
from llm2vec_gen_rag.safety import RefusalGate


class GatedRetriever(BaseRetriever):
    """A retriever that finds nothing for a query that the gate refuses.

    A refused query gets no nodes, and does not reach the retriever. LlamaIndex's query engines then
    answer "Empty Response" without asking the LLM. The retriever takes the vector that the gate has
    read, if it embeds with the gate's model and instruction: there is one forward for both.
    """

    def __init__(self, retriever: BaseRetriever, *, gate: RefusalGate) -> None:
        """Put a gate before a retriever.

        Args:
            retriever: any retriever.
            gate: the gate.

        Raises:
            ValueError: if it is no gate.
        """
        require_gate(gate)
        super().__init__(callback_manager=retriever.callback_manager)
        self.retriever = retriever
        self.gate = gate

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_bundle.query_str
        verdict = check(self.gate, query)
        if verdict.refused:
            return []
        with reusing(self.gate, query, verdict):
            return self.retriever.retrieve(query_bundle)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_bundle.query_str
        verdict = await acheck(self.gate, query)
        if verdict.refused:
            return []
        with reusing(self.gate, query, verdict):
            return await self.retriever.aretrieve(query_bundle)


class GatePostprocessor(BaseNodePostprocessor):
    """Takes all nodes away if the gate refuses the query, for engines that take postprocessors.

    It reads the vector that the retriever has put into the query bundle, if the gate's model gave
    it, and embeds the query otherwise: LlamaIndex's awaited retrievers keep the vector to
    themselves. The search has taken place by then; `GatedRetriever` spares it.

    Attributes:
        gate: the gate.
    """

    gate: RefusalGate = Field(exclude=True)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex shows."""
        return "GatePostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError(
                "the nodes came without a query, which is what a gate reads; expected "
                "postprocess_nodes(nodes, query_str=...) or a query engine's call"
            )
        gate, query, found = self.gate, query_bundle.query_str, query_bundle.embedding
        is_its = found and was_given(gate.model, gate.instruction, query, found)
        vector = np.array(found, dtype=np.float32) if is_its else None
        return [] if check(gate, query, vector).refused else nodes
