"""A whole RAG answer as a worker: with the model alone, in each framework, and with two models."""

from __future__ import annotations

import importlib

from benchmarks.workers import Requests, serve
from llm2vec_gen_rag import LLM2VecGen

RETRIEVED = 2
TOKENS = 32
PROMPT = "{context}\n\n{question}"
# what an answer imports of a framework; LlamaIndex imports LangChain where that is installed
MODULES = {
    "langchain": ("langchain_core.vectorstores", "langchain_core.prompts"),
    "llama_index": ("llama_index.core", "langchain_core.language_models"),
}


class RagWorker(Requests):
    """One loaded model."""

    def import_framework(self, way: str) -> None:
        """Import what a way of answering needs besides this package."""
        for module in MODULES.get(way, ()):
            importlib.import_module(module)

    def load(self, checkpoint: str) -> None:
        """Load a checkpoint."""
        self.checkpoint = checkpoint
        self.model = LLM2VecGen.from_pretrained(checkpoint)

    def alone(self, documents: list[str], question: str) -> str:
        """Embed, retrieve and answer by the model's own methods."""
        return self._answered_by(self.model, documents, question)

    def two_models(self, documents: list[str], question: str) -> str:
        """Do the same with a second copy of the weights that answers."""
        answering = LLM2VecGen.from_pretrained(self.checkpoint)
        return self._answered_by(answering, documents, question)

    def _answered_by(self, answering: LLM2VecGen, documents: list[str], question: str) -> str:
        scores = self.model.encode_document(documents) @ self.model.encode_query(question)
        found = [documents[place] for place in (-scores).argsort()[:RETRIEVED]]
        prompt = PROMPT.format(context="\n\n".join(found), question=question)
        return answering.answer(prompt, max_new_tokens=TOKENS)

    def langchain(self, documents: list[str], question: str) -> str:
        """Answer by a chain over LangChain's in-memory store."""
        from langchain_core.output_parsers import StrOutputParser
        from langchain_core.prompts import ChatPromptTemplate
        from langchain_core.runnables import RunnablePassthrough
        from langchain_core.vectorstores import InMemoryVectorStore

        from llm2vec_gen_rag.langchain import ChatLLM2VecGen, LLM2VecGenEmbeddings

        store = InMemoryVectorStore.from_texts(documents, LLM2VecGenEmbeddings(model=self.model))
        retriever = store.as_retriever(search_kwargs={"k": RETRIEVED})
        chain = (
            {
                "context": retriever | (lambda found: "\n\n".join(d.page_content for d in found)),
                "question": RunnablePassthrough(),
            }
            | ChatPromptTemplate([("human", PROMPT)])
            | ChatLLM2VecGen(model=self.model, max_new_tokens=TOKENS)
            | StrOutputParser()
        )
        answer: str = chain.invoke(question)
        return answer

    def llama_index(self, documents: list[str], question: str) -> str:
        """Answer by a query engine over LlamaIndex's in-memory index."""
        from llama_index.core import PromptTemplate, Settings, VectorStoreIndex
        from llama_index.core.schema import TextNode

        from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding, LLM2VecGenLLM

        Settings.tokenizer = self.model.tokenizer  # or it counts with tiktoken's, and loads that
        nodes = [TextNode(text=text) for text in documents]
        index = VectorStoreIndex(nodes, embed_model=LLM2VecGenEmbedding(model=self.model))
        engine = index.as_query_engine(
            llm=LLM2VecGenLLM(model=self.model, max_new_tokens=TOKENS),
            similarity_top_k=RETRIEVED,
            text_qa_template=PromptTemplate("{context_str}\n\n{query_str}"),
        )
        return str(engine.query(question))


if __name__ == "__main__":
    serve(RagWorker())
