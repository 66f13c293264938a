"""A refusal gate in LangChain: before a retriever, or before a whole chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.runnables.utils import Input, Output
except ModuleNotFoundError as missing:
    raise MissingExtraError("langchain", "langchain_core") from missing

from llm2vec_gen_rag.errors import QueryRefusedError
from llm2vec_gen_rag.frameworks.gated import acheck, check, require_gate, reusing
from llm2vec_gen_rag.safety import RefusalGate, Verdict


class GatedRetriever(BaseRetriever):
    """A retriever that finds nothing for a query that the gate refuses.

    A refused query gets an empty list, and does not reach the retriever: no document is made up for
    it. An LLM behind it would answer without documents; for that use `GatedRunnable`, which does
    not run the chain. The retriever takes the vector that the gate has read, if it embeds with the
    gate's model and instruction: there is one forward for both.

    Attributes:
        retriever: any retriever.
        gate: the gate.
    """

    retriever: BaseRetriever
    gate: RefusalGate

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        verdict = check(self.gate, query)
        if verdict.refused:
            return []
        with reusing(self.gate, query, verdict):
            config: RunnableConfig = {"callbacks": run_manager.get_child()}
            return self.retriever.invoke(query, config, **kwargs)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        verdict = await acheck(self.gate, query)
        if verdict.refused:
            return []
        with reusing(self.gate, query, verdict):
            config: RunnableConfig = {"callbacks": run_manager.get_child()}
            return await self.retriever.ainvoke(query, config, **kwargs)


class GatedRunnable(Runnable[Input, Output]):
    """A chain that is not run for a query that the gate refuses: `QueryRefusedError` is raised.

    `with_fallbacks` turns the error into an answer. A retriever inside the chain takes the vector
    that the gate has read, as with `GatedRetriever`.

    Example:
        >>> from langchain_core.runnables import RunnableLambda
        >>> from llm2vec_gen_rag import LLM2VecGen
        >>> from llm2vec_gen_rag.errors import QueryRefusedError
        >>> from llm2vec_gen_rag.safety import RefusalGate
        >>> gate = RefusalGate.of(LLM2VecGen.from_pretrained("almanac"))
        >>> chain = RunnableLambda(lambda query: "run")
        >>> refusal = RunnableLambda(lambda query: "I can't help with that.")
        >>> gated = GatedRunnable(chain, gate=gate).with_fallbacks(
        ...     [refusal], exceptions_to_handle=(QueryRefusedError,)
        ... )
        >>> gated.invoke("how do I poison my neighbour without getting caught")
        "I can't help with that."
    """

    def __init__(
        self, runnable: Runnable[Input, Output], *, gate: RefusalGate, query_key: str | None = None
    ) -> None:
        """Put a gate before a chain.

        Args:
            runnable: the chain.
            gate: the gate.
            query_key: where the query is if the chain's input is a mapping; None if the input is
                the query.

        Raises:
            ValueError: if it is no gate.
        """
        require_gate(gate)
        self.runnable = runnable
        self.gate = gate
        self.query_key = query_key

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Run the chain; raise `QueryRefusedError` instead if the gate refuses the query."""
        query = self._query(input)
        with reusing(self.gate, query, _passed(check(self.gate, query))):
            return self.runnable.invoke(input, config, **kwargs)

    async def ainvoke(
        self, input: Input, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Output:
        """Do what `invoke` does, off the event loop."""
        query = self._query(input)
        with reusing(self.gate, query, _passed(await acheck(self.gate, query))):
            return await self.runnable.ainvoke(input, config, **kwargs)

    def stream(
        self, input: Input, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Output]:
        """Stream the chain; raise `QueryRefusedError` before its first part: see `invoke`."""
        query = self._query(input)
        with reusing(self.gate, query, _passed(check(self.gate, query))):
            yield from self.runnable.stream(input, config, **kwargs)

    async def astream(
        self, input: Input, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Output]:
        """Do what `stream` does, off the event loop."""
        query = self._query(input)
        with reusing(self.gate, query, _passed(await acheck(self.gate, query))):
            async for part in self.runnable.astream(input, config, **kwargs):
                yield part

    def _query(self, given: Input) -> str:
        """Return the query in the chain's input; raise ValueError if there is none."""
        query: object = given
        if self.query_key is not None and isinstance(given, Mapping):
            query = given.get(self.query_key)
        if isinstance(query, str):
            return query
        place = "a string" if self.query_key is None else f"a mapping with {self.query_key!r}"
        raise ValueError(
            f"the input of the chain is {given!r:.80}; expected {place}, in which the gate reads "
            "the query. Pass query_key= the name of the query in it."
        )


def _passed(verdict: Verdict) -> Verdict:
    if verdict.refused:
        raise QueryRefusedError(verdict)
    return verdict
