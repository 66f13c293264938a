"""LangChain's own tests of a chat model, run as they are, on short answers."""

from __future__ import annotations

from functools import cache

from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from reference_kits import ReferenceKit

from llm2vec_gen_rag.langchain import ChatLLM2VecGen


@cache
def loaded():
    """A model that all tests share: theirs have a fixture `model` of their own."""
    return ReferenceKit("qwen3-10").load()


class OnATinyModel:
    @property
    def chat_model_class(self):
        return ChatLLM2VecGen

    @property
    def chat_model_params(self):
        return {"model": loaded()}

    @property
    def standard_chat_model_params(self):
        return {**super().standard_chat_model_params, "max_tokens": 4}


class TestChatModelUnit(OnATinyModel, ChatModelUnitTests):
    pass


class TestChatModelIntegration(OnATinyModel, ChatModelIntegrationTests):
    pass
