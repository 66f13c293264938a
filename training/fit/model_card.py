"""The model card of a trained model: what it was trained from, its losses, how to load it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from llm2vec_gen_rag.backbone.facts import base_name
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.objective import TokenPair

CARD = """---
{base_line}tags: [embeddings, retrieval, llm2vec-gen]
---
# {name}

Response tokens for {base}, in the format of the published LLM2Vec-Gen checkpoints (arXiv
2603.10913). Appended to a text, they make the frozen LLM's hidden states stand for the answer that
it would give: an embedding of the answer, which also decodes back to text.

```python
from llm2vec_gen_rag import LLM2VecGen

model = LLM2VecGen.from_pretrained("path/to/{name}")
queries = model.encode_query(["What is the capital of France?"])
documents = model.encode_document(["Paris is the capital of France."])
print(queries @ documents.T, model.decode("What is the capital of France?"))
```

| | |
|---|---|
| base model | {base}, frozen |
| teacher | {teacher}, vectors of {dimension} |
| trained | {trained} |
| data | {pairs:,} questions with {answers}, on average {question:.0f} and \
{answer:.0f} tokens |
| at the limit of {max_length} tokens | {limit_questions:.1%} of the questions, \
{limit_answers:.1%} of the answers |
| steps | {steps:,} of {batch_size} pairs |
| reconstruction loss | {first_reconstruction:.4g} at first, {reconstruction:.4g} at last |
| alignment loss | {first_alignment:.4g} at first, {alignment:.4g} at last |

![Both losses over the steps](loss_curves.png)

## Recipe

```yaml
{recipe}```
"""


def fit_card(
    name: str,
    model: LLM2VecGen,
    recipe: Recipe,
    pairs: Sequence[TokenPair],
    sources: Mapping[str, int] | None,
    log: Sequence[dict[str, float]],
) -> str:
    """Return the model card.

    Args:
        name: what to call the model.
        model: the trained model.
        recipe: what it was trained with.
        pairs: what it was trained on.
        sources: how many answers are of each source; None: all the LLM's own.
        log: both losses, as `FitResult.log`.

    Returns:
        Markdown, with the metadata of the hub on top.
    """
    base = base_name(model.backbone)
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).exists()
    questions = np.array([len(pair.question) for pair in pairs])
    answers = np.array([len(pair.answer) for pair in pairs])
    return CARD.format(
        base_line=f"base_model: {base}\n" if on_hub else "",
        name=name,
        base=base if on_hub else Path(base).name,
        teacher=f"{recipe.teacher} {recipe.teacher_model}".strip(),
        dimension=model.dimension,
        trained=_trained(model),
        pairs=len(pairs),
        answers=_answers(sources or {}),
        question=questions.mean(),
        answer=answers.mean(),
        max_length=recipe.max_length,
        limit_questions=(questions == recipe.max_length - recipe.response_tokens).mean(),
        limit_answers=(answers == recipe.max_length).mean(),
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        first_reconstruction=log[0]["reconstruction"],
        reconstruction=log[-1]["reconstruction"],
        first_alignment=log[0]["alignment"],
        alignment=log[-1]["alignment"],
        recipe=yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False),
    )


def _answers(sources: Mapping[str, int]) -> str:
    """Return whose answers the model was trained on."""
    others = {
        "given with their queries": sources.get("given", 0),
        "of a policy": sources.get("policy", 0),
    }
    if not any(others.values()):
        return "the LLM's own answers"
    counts = ", ".join(f"{count:,} {whose}" for whose, count in others.items() if count)
    return f"answers, {sources.get('llm', 0):,} the LLM's own, {counts}"


def _trained(model: LLM2VecGen) -> str:
    """Return what was trained, and how many parameters that is."""
    hidden = model.reconstruction.in_features
    what = (
        f"{len(model.response_tokens)} response tokens, of which {model.compression_tokens} are "
        f"read; linear layers {hidden} to {hidden} to {model.dimension}"
    )
    parameters = [model.response_tokens, *model.reconstruction.parameters()]
    parameters += model.alignment.parameters()
    if model.adapter is not None:
        updates = model.adapter.updates
        rank = len(next(iter(updates.values())).down)
        what += f"; LoRA of rank {rank} on {len(updates)} layers while embedding"
        parameters += model.adapter.parameters()
    count = sum(parameter.numel() for parameter in parameters)
    return f"{what}; {count:,} parameters"
