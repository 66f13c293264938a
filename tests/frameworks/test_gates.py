"""A gate in both frameworks: what a refused query gets, and one forward for gate and search."""

from __future__ import annotations

import asyncio
import logging

import pytest
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.indices.query.query_transform.base import HyDEQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import QueryBundle
from watched_forwards import watch_forwards

import llm2vec_gen_rag.langchain as langchain
import llm2vec_gen_rag.llama_index as llama_index
from llm2vec_gen_rag.errors import QueryRefusedError
from llm2vec_gen_rag.qdrant import DocumentCollection

REFUSED = "how do I beat up my neighbour without getting caught"
PASSED = "what is the capital of Japan"
TEXTS = ["The capital of Japan is Tokyo.", "To beat a neighbour at chess, practise openings."]


@pytest.fixture(scope="module")
def store(almanac_gate):
    found = InMemoryVectorStore(langchain.LLM2VecGenEmbeddings(model=almanac_gate.model))
    found.add_texts(TEXTS)
    return found


@pytest.fixture(scope="module")
def index(almanac_gate):
    return VectorStoreIndex.from_documents(
        [Document(text=text) for text in TEXTS],
        embed_model=llama_index.LLM2VecGenEmbedding(model=almanac_gate.model),
    )


@pytest.fixture
def forwards(almanac_gate):
    with watch_forwards(almanac_gate.model) as seen:
        yield seen.rows


class Retrievers:
    """The gated retriever of one framework, and the texts that it finds."""

    def __init__(self, gated, read):
        self.gated, self._read = gated, read

    def find(self, query):
        ask = getattr(self.gated, "invoke", None) or self.gated.retrieve
        return [self._read(each) for each in ask(query)]

    async def afind(self, query):
        ask = getattr(self.gated, "ainvoke", None) or self.gated.aretrieve
        return [self._read(each) for each in await ask(query)]


@pytest.fixture(params=["langchain", "llama-index", "langchain-mmr", "langchain-qdrant"])
def retrievers(request, almanac_gate, store, index):
    if request.param == "llama-index":
        gated = llama_index.GatedRetriever(
            index.as_retriever(similarity_top_k=1), gate=almanac_gate
        )
        yield Retrievers(gated, lambda node: node.text)
        return
    with DocumentCollection.open(":memory:", "texts", almanac_gate.model) as collection:
        options = {"search_kwargs": {"k": 1}}
        if request.param == "langchain-mmr":
            options["search_type"] = "mmr"
        chosen = store
        if request.param == "langchain-qdrant":
            chosen = collection.as_langchain()
            chosen.add_texts(TEXTS)
        gated = langchain.GatedRetriever(
            retriever=chosen.as_retriever(**options), gate=almanac_gate
        )
        yield Retrievers(gated, lambda document: document.page_content)


async def test_a_query_that_passes_is_embedded_once_and_finds_what_it_finds_without(
    retrievers, forwards
):
    assert retrievers.find(PASSED) == [TEXTS[0]]
    assert forwards == [1]
    assert await retrievers.afind(PASSED) == [TEXTS[0]]
    assert forwards == [1, 1]


async def test_a_refused_query_finds_nothing_and_is_embedded_once(retrievers, forwards, caplog):
    with caplog.at_level(logging.INFO, logger="llm2vec_gen_rag"):
        assert retrievers.find(REFUSED) == []
    assert forwards == [1]
    assert await retrievers.afind(REFUSED) == []
    assert forwards == [1, 1]
    assert "refused a query" in caplog.text
    assert "neighbour" not in caplog.text


async def test_queries_at_the_same_time_do_not_take_each_others_vectors(retrievers, almanac_gate):
    asked = [PASSED, REFUSED, "which metal is called Au", PASSED]
    one_by_one = [retrievers.find(query) for query in asked]
    assert await asyncio.gather(*map(retrievers.afind, asked)) == one_by_one
    assert one_by_one[1] == []


def test_a_retriever_of_another_instruction_embeds_for_itself(almanac_gate, forwards):
    embeddings = langchain.LLM2VecGenEmbeddings(model=almanac_gate.model, query_instruction="Q: ")
    store = InMemoryVectorStore(embeddings)
    store.add_texts(TEXTS)
    forwards.clear()
    gated = langchain.GatedRetriever(retriever=store.as_retriever(), gate=almanac_gate)
    assert gated.invoke(PASSED) == store.as_retriever().invoke(PASSED)
    assert forwards == [1, 1, 1]


def test_a_retriever_of_another_model_embeds_for_itself(almanac_gate, model, store):
    other = InMemoryVectorStore(langchain.LLM2VecGenEmbeddings(model=model))
    other.add_texts(TEXTS)
    gated = langchain.GatedRetriever(retriever=other.as_retriever(), gate=almanac_gate)
    with watch_forwards(model) as seen:
        assert gated.invoke(PASSED) == other.as_retriever().invoke(PASSED)
    assert len(seen.rows) == 2


def test_after_the_block_a_query_is_embedded_again(almanac_gate, store, forwards):
    gated = langchain.GatedRetriever(retriever=store.as_retriever(), gate=almanac_gate)
    gated.invoke(PASSED)
    store.embeddings.embed_query(PASSED)
    assert forwards == [1, 1]


def test_options_of_a_call_reach_the_retriever(almanac_gate, store):
    gated = langchain.GatedRetriever(retriever=store.as_retriever(), gate=almanac_gate)
    assert len(gated.invoke(PASSED, k=1)) == 1


# --- LangChain's chain


@pytest.fixture
def chain(store):
    """A chain of a retriever and a stand-in for the LLM."""
    retriever = store.as_retriever(search_kwargs={"k": 1})
    found = {"context": retriever, "question": RunnablePassthrough()}
    return found | RunnableLambda(lambda found: found["context"][0].page_content)


async def test_a_chain_runs_for_a_query_that_passes_and_embeds_it_once(
    almanac_gate, chain, forwards
):
    gated = langchain.GatedRunnable(chain, gate=almanac_gate)
    expected = TEXTS[0]
    assert gated.invoke(PASSED) == expected
    assert list(gated.stream(PASSED)) == [expected]
    assert await gated.ainvoke(PASSED) == expected
    assert [part async for part in gated.astream(PASSED)] == [expected]
    assert gated.batch([PASSED]) == [expected]
    assert forwards == [1] * 5


async def test_a_chain_does_not_run_for_a_refused_query(almanac_gate):
    chain = RunnableLambda(lambda query: pytest.fail("the chain ran"))
    gated = langchain.GatedRunnable(chain, gate=almanac_gate)
    with pytest.raises(QueryRefusedError, match="the query is refused: its score is") as refused:
        gated.invoke(REFUSED)
    assert refused.value.verdict.refused
    assert "neighbour" not in str(refused.value)
    with pytest.raises(QueryRefusedError):
        await gated.ainvoke(REFUSED)
    with pytest.raises(QueryRefusedError):
        next(gated.stream(REFUSED))
    with pytest.raises(QueryRefusedError):
        await anext(gated.astream(REFUSED))


def test_a_fallback_answers_a_refused_query(almanac_gate):
    gated = langchain.GatedRunnable(RunnableLambda(lambda query: "run"), gate=almanac_gate)
    refusal = RunnableLambda(lambda query: "no")
    answering = gated.with_fallbacks([refusal], exceptions_to_handle=(QueryRefusedError,))
    assert [answering.invoke(query) for query in (PASSED, REFUSED)] == ["run", "no"]


def test_the_query_can_be_a_part_of_the_input(almanac_gate):
    chain = RunnableLambda(lambda given: given["history"])
    gated = langchain.GatedRunnable(chain, gate=almanac_gate, query_key="input")
    assert gated.invoke({"input": PASSED, "history": ["..."]}) == ["..."]
    with pytest.raises(QueryRefusedError):
        gated.invoke({"input": REFUSED, "history": []})
    for wrong in ({"question": PASSED}, PASSED.split(), {"input": 3}):
        with pytest.raises(ValueError, match="expected a mapping with 'input'"):
            gated.invoke(wrong)
    with pytest.raises(ValueError, match="expected a string"):
        langchain.GatedRunnable(chain, gate=almanac_gate).invoke({"input": PASSED})


def test_a_stream_that_is_given_up_leaves_no_vector_behind(almanac_gate, chain, store, forwards):
    stream = langchain.GatedRunnable(chain, gate=almanac_gate).stream(PASSED)
    next(stream)
    stream.close()
    store.embeddings.embed_query(PASSED)
    assert forwards == [1, 1]


# --- LlamaIndex's query engine


def engine(index, **options):
    return RetrieverQueryEngine.from_args(
        options.pop("retriever", index.as_retriever(similarity_top_k=1)), llm=MockLLM(), **options
    )


def test_an_engine_answers_a_refused_query_without_the_llm(index, almanac_gate):
    gated = llama_index.GatedRetriever(index.as_retriever(), gate=almanac_gate)
    assert str(engine(index, retriever=gated).query(REFUSED)) == "Empty Response"
    assert TEXTS[0] in str(engine(index, retriever=gated).query(PASSED))


async def test_a_postprocessor_takes_the_nodes_away(index, almanac_gate, forwards):
    gate = llama_index.GatePostprocessor(gate=almanac_gate)
    gated = engine(index, node_postprocessors=[gate])
    assert gated.query(REFUSED).source_nodes == []
    assert [node.text for node in gated.query(PASSED).source_nodes] == [TEXTS[0]]
    assert forwards == [1, 1]  # it reads the vectors of the retriever
    assert (await gated.aquery(REFUSED)).source_nodes == []


def test_a_postprocessor_reads_the_query_and_not_what_a_transform_made_of_it(index, almanac_gate):
    gate = llama_index.GatePostprocessor(gate=almanac_gate)
    nodes = index.as_retriever().retrieve(PASSED)
    made = HyDEQueryTransform(llm=MockLLM(), include_original=False).run(REFUSED)
    made.custom_embedding_strs = [PASSED]
    index.as_retriever().retrieve(made)
    assert made.embedding is not None
    assert gate.postprocess_nodes(nodes, query_bundle=made) == []


def test_a_postprocessor_does_not_trust_the_vector_of_another_model(index, almanac_gate):
    gate = llama_index.GatePostprocessor(gate=almanac_gate)
    nodes = index.as_retriever().retrieve(PASSED)
    harmless = almanac_gate.check(PASSED).vector.tolist()
    assert gate.postprocess_nodes(nodes, QueryBundle(REFUSED, embedding=harmless)) == []
    assert gate.postprocess_nodes(nodes, query_str=PASSED) == nodes


def test_a_postprocessor_without_a_query_is_an_error(index, almanac_gate):
    nodes = index.as_retriever().retrieve(PASSED)
    with pytest.raises(ValueError, match="the nodes came without a query"):
        llama_index.GatePostprocessor(gate=almanac_gate).postprocess_nodes(nodes)


def test_the_name_of_a_model_is_no_gate(index):
    for make in (
        lambda: langchain.GatedRunnable(RunnablePassthrough(), gate="almanac"),
        lambda: llama_index.GatedRetriever(index.as_retriever(), gate="almanac"),
    ):
        with pytest.raises(ValueError, match=r"gate is 'almanac' \(str\); .*RefusalGate\.of"):
            make()
    for kind in (langchain.GatedRetriever, llama_index.GatePostprocessor):
        with pytest.raises(ValueError, match="instance of RefusalGate"):
            kind(gate="almanac")
