"""The published instructions, by side (query or document) and by task.

The method embeds what the LLM would answer, so an instruction decides which answer that is: a query
asks for a passage, a document for its summary. Retrieval and documents are from the README of the
reference package, the other tasks from tables 7 and 8 of arXiv 2603.10913v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DOCUMENT_INSTRUCTION = "Summarize the following passage: "

# with underscores, as in the published runs (`retrieval_hf_llm2vecgen` in scripts/bright_eval of
# the reference repository); table 8 of the paper prints a space instead
_BRIGHT_POSTS = (
    "biology",
    "earth_science",
    "economics",
    "psychology",
    "robotics",
    "stackoverflow",
    "sustainable_living",
)

QUERY_INSTRUCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "retrieval": "Generate a passage that best answers this question: ",
        "advbench": "Generate a relevant document that answers this query: ",
        "claims": "Generate text that supports or refutes this claim: ",
        "sts": "Generate text that is semantically similar to this text: ",
        "summarization": "Generate a concise and faithful summary of this article: ",
        **{
            f"bright/{topic}": (
                f"Given a {topic} post, generate relevant passages that help answer the post: "
            )
            for topic in _BRIGHT_POSTS
        },
        "bright/pony": (
            "Given a pony question, generate relevant passages that help answer the question: "
        ),
        "bright/leetcode": (
            "Given a coding problem, generate relevant examples that help answer the problem: "
        ),
        "bright/aops": (
            "Given a Math problem, generate relevant examples that help answer the problem: "
        ),
        "bright/theoremqa_questions": (
            "Given a Math problem, generate relevant examples that help answer the problem: "
        ),
        "bright/theoremqa_theorems": (
            "Given a Math problem, only find the relevant theorems that help answer the problem, "
            "I don't want the answer to the problem: "
        ),
    }
)

# all their texts get the instruction of the task; see `MtebEncoder`
ONE_SIDED_TASKS = frozenset({"sts", "summarization"})
