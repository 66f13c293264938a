"""A refusal policy: prompts by category, and the answer that each category's prompts are given.

The examples of a category get its answer instead of the LLM's; its benign prompts, which look like
them, are answered by the LLM as any other query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llm2vec_gen_rag.training.responses.brought import QueryRows
from llm2vec_gen_rag.training.responses.response import Response


@dataclass(frozen=True)
class Category:
    """A category of prompts that are refused.

    Attributes:
        name: such as "weapons"; stands beside each answer in the file of responses.
        answer: the refusal in the assistant's own words, as a rule with where to get help.
        examples: prompts that get this answer; at least one.
        benign: prompts that look like these, which the LLM answers.
    """

    name: str
    answer: str
    examples: list[str]
    benign: list[str]


@dataclass(frozen=True)
class Policy:
    """The categories of a policy, in its order.

    Attributes:
        name: its file, for errors.
        categories: at least one.
    """

    name: str
    categories: list[Category]

    def __post_init__(self) -> None:
        if not self.categories:
            raise ValueError(f"{self.name} has no categories; expected at least one")
        names: set[str] = set()
        places: dict[str, str] = {}
        for category in self.categories:
            if category.name in names:
                raise ValueError(
                    f"{self.name} has two categories {category.name!r}; expected one: merge them, "
                    "or rename one"
                )
            names.add(category.name)
            for kind, prompt in _prompts_of(category):
                place = f"{kind} of {category.name!r}"
                if prompt in places:
                    raise ValueError(
                        f"{self.name} has the prompt {prompt[:80]!r} twice, among the "
                        f"{places[prompt]} and among the {place}; expected it once. Remove one."
                    )
                places[prompt] = place

    @property
    def responses(self) -> list[Response]:
        """The answer to each example, in the order of the policy."""
        return [
            Response(example, category.answer, True, source="policy", category=category.name)
            for category in self.categories
            for example in category.examples
        ]

    def with_instruction(self, instruction: str) -> Policy:
        """Return the policy with an instruction written into each of its prompts.

        It is for a run whose queries bring their instruction themselves: a prompt is then learnt,
        and found among the queries, in the form that a search sends.

        Args:
            instruction: precedes each prompt.

        Returns:
            The policy, its answers unchanged.
        """
        categories = [
            replace(
                category,
                examples=[instruction + prompt for prompt in category.examples],
                benign=[instruction + prompt for prompt in category.benign],
            )
            for category in self.categories
        ]
        return Policy(self.name, categories)

    def also_in(self, queries: Sequence[str]) -> list[str]:
        """Return those of the queries that are examples of the policy, in their order."""
        examples = {response.query for response in self.responses}
        return [query for query in queries if query in examples]

    def added_to(self, rows: QueryRows) -> QueryRows:
        """Return the queries of a run with the policy's prompts after them.

        The policy's answer to an example goes before one that its own row brings, and before the
        LLM's.

        Args:
            rows: the queries, and the answers that some bring.

        Returns:
            The same queries in their order, then the policy's prompts that are not among them.
        """
        responses = self.responses
        examples = {response.query for response in responses}
        given = [response for response in rows.brought if response.query not in examples]
        prompts = (prompt for category in self.categories for _, prompt in _prompts_of(category))
        return QueryRows(list(dict.fromkeys([*rows.queries, *prompts])), [*given, *responses])


def _prompts_of(category: Category) -> Iterator[tuple[str, str]]:
    """Yield the prompts of a category, each with its kind."""
    for prompt in category.examples:
        yield "examples", prompt
    for prompt in category.benign:
        yield "benign prompts", prompt
