"""The almanac's model card: what it is, how it was built, and its figures."""

from __future__ import annotations

from typing import Any

from llm2vec_gen_rag.evaluation.almanac import Report
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.outputs import FitResult

CARD = """---
license: mit
language: en
tags: [embeddings, retrieval, llm2vec-gen]
---
# almanac

A small language model and its response tokens, built from nothing by `make almanac`, so that
generative embeddings can be tried offline on a CPU in seconds. It knows the facts of its own
tables (countries, chemical elements, landmarks, works, animals), answers questions over one to
three of them, refuses harmful requests, and knows nothing else. It is a demonstration and a test
bed: for real work load a published checkpoint.

A large LLM that is about to answer already leans towards all words of its answer; one this small
thinks of no word but the next. So it is also taught to fill blanks, `____`, with the words of its
answer in any order, and the response tokens start as blanks.

| | |
|---|---|
| base language model | {architecture}, {parameters:.1f} M parameters, {layers} layers of \
{hidden}, vocabulary {vocabulary} |
| base training | {base_steps} steps of {base_batch} on the facts, {tuning_steps} on other \
wordings, {base_minutes:.0f} minutes, final loss {base_loss:.4f} |
| response tokens | {tokens}, all read out; vectors of {dimension} |
| response token training | {steps} steps of {batch} in {minutes:.0f} minutes, reconstruction loss \
{reconstruction:.4f}, alignment loss {alignment:.6f} |
| teacher | {teacher}, fitted on the model's own answers and their queries |
| corpus | {documents} documents |
| query instruction | none |
| document instruction | `{document_instruction}` |

## Figures

On questions that neither the language model nor the response tokens were trained on: a bridged
question's (subject, attribute, bridge) is never trained on; of a direct fact, one wording of the
question is held out; harmful requests are of topics held out whole; of each benign look-alike topic
one wording is held out. `llm2vec-gen-rag eval` prints this again.

{figures}

## Limits

- The facts are written from general knowledge and cross-checked where open data overlaps; some will
  be out of date. Values change; do not rely on them.
- Refusals are learnt from some 60 topics in 12 categories of everyday wording, English only. They
  are no safety filter for real traffic.
- The refusal gate that ships with it is for questions like its own, too: it refuses much of what
  else is said to it, greetings included.
- Pages that stand for harm are stubs: a title and a topic sentence, no content. There is none to
  leak.
"""


def model_card(
    report: Report,
    model: LLM2VecGen,
    base_log: dict[str, Any],
    recipe: Recipe,
    fitted: FitResult,
) -> str:
    """Return the card as Markdown."""
    config = model.backbone.config
    return CARD.format(
        architecture=type(model.backbone).__name__,
        parameters=model.backbone.num_parameters() / 1e6,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        vocabulary=config.vocab_size,
        base_steps=base_log["recipe"]["steps"],
        tuning_steps=base_log["tuning"]["steps"],
        base_batch=base_log["recipe"]["batch_size"],
        base_minutes=base_log["minutes"],
        base_loss=base_log["losses"][-1],
        tokens=len(model.response_tokens),
        dimension=model.dimension,
        steps=recipe.steps,
        batch=recipe.batch_size,
        minutes=fitted.seconds / 60,
        reconstruction=fitted.reconstruction,
        alignment=fitted.alignment,
        teacher=recipe.teacher,
        documents=report.documents,
        document_instruction=model.prompts.document,
        figures=report.as_text(),
    )
