"""Write a model as a folder that sentence-transformers, and all that is built on it, loads."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from string import Template

from llm2vec_gen_rag.arguments import folder_path
from llm2vec_gen_rag.backbone.facts import base_name
from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.files import storing, write_json, write_text
from llm2vec_gen_rag.model import LLM2VecGen, require_model
from llm2vec_gen_rag.prompts import Prompts

require_extra("sentence-transformers", "sentence_transformers")
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Normalize  # noqa: E402

from llm2vec_gen_rag.sentence_transformers.module import LLM2VecGenModule  # noqa: E402

_CONFIG = "config_sentence_transformers.json"

_CARD = Template("""\
---
library_name: sentence-transformers
tags: [sentence-transformers, sentence-similarity, llm2vec-gen]
pipeline_tag: sentence-similarity
---
# $name, for sentence-transformers

Generative embeddings of $dimension numbers (LLM2Vec-Gen, arXiv 2603.10913). They need
`pip install 'llm2vec-gen-rag[sentence-transformers]'`. sentence-transformers asks for
`trust_remote_code=True` for every class that is not its own, and the class is in that package: no
code is in this folder, and none is downloaded.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER", trust_remote_code=True)
queries = model.encode_query(["..."])
documents = model.encode_document(["..."])
print(model.similarity(queries, documents))
```

LangChain's `HuggingFaceEmbeddings` takes the prompts by name:

```python
HuggingFaceEmbeddings(
    model_name="FOLDER",
    model_kwargs={"trust_remote_code": True},
    encode_kwargs={"prompt_name": "document"},
    query_encode_kwargs={"prompt_name": "query"},
)
```

LlamaIndex's `HuggingFaceEmbedding` reads no prompts from a folder, and has to be given them:

```python
HuggingFaceEmbedding(
    "FOLDER",
    trust_remote_code=True,
    query_instruction=$query,
    text_instruction=$document,
)
```
""")


def export(model: LLM2VecGen, folder: str | PathLike[str]) -> Path:
    """Write a model for sentence-transformers 6, whole or not at all.

    The folder holds the checkpoint in the published format, the prompts, and what it requires. A
    base model from a folder or a GGUF file is copied into it; one from the hub is named.

    Args:
        model: the model.
        folder: where to; it must not exist. A leading ~ is the home folder.

    Returns:
        The folder.

    Raises:
        ValueError: if the folder exists, or is inside the base model's, or the model is no loaded
            one.
        StorageError: if it cannot be written; nothing is left of it then.
    """
    require_model(model)
    target = folder_path(folder)
    _require_new(target, Path(base_name(model.backbone)))
    network = SentenceTransformer(
        modules=[LLM2VecGenModule(model), Normalize()],
        prompts=_named_prompts(model.prompts),
        similarity_fn_name="cosine",
        device=str(model.device),
    )
    left = "nothing is left of it"
    # torch raises RuntimeError when the disk is full
    with storing(f"the export {target}", left, RuntimeError), _new_folder(target) as partial:
        network.save(str(partial), create_model_card=False)
        _state_requirements(partial / _CONFIG)
        write_text(partial / "README.md", _card(model))
    return target


def _require_new(target: Path, base: Path) -> None:
    """Raise ValueError if the folder exists, or is inside what is copied into it."""
    if os.path.lexists(target):
        raise ValueError(
            f"the folder {str(target)!r} exists; expected a new one, so that no other file is "
            "taken for a part of the model. Choose another name, or delete it."
        )
    if base.is_dir() and target.resolve().is_relative_to(base.resolve()):
        raise ValueError(
            f"the folder {str(target)!r} is inside its base model {str(base)!r}, which is copied; "
            "expected a folder outside of it. Choose another one."
        )


def _named_prompts(prompts: Prompts) -> dict[str, str]:
    """Return the prompts of `encode_query` and `encode_document`, and each task's by its name."""
    named = {"query": prompts.for_query("retrieval"), "document": prompts.document}
    return {**prompts.query, **named}


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` at the end of the block, on the same disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    outer = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        partial = outer / "export"  # with the permissions that a folder has by default
        partial.mkdir()
        yield partial
        os.rename(partial, target)
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _state_requirements(path: Path) -> None:
    """Add the packages that the folder needs: sentence-transformers checks them as it loads it."""
    config = json.loads(path.read_bytes())
    config["requirements"] = {
        "llm2vec-gen-rag": {
            "specifier": f">={version('llm2vec-gen-rag')}",
            "reason": "it has the class LLM2VecGenModule, which computes the embeddings",
        },
        "sentence-transformers": ">=6",
    }
    write_json(path, config)


def _card(model: LLM2VecGen) -> str:
    """The README of the folder: how each library loads it."""
    return _CARD.substitute(
        name=Path(model.name).name,
        dimension=model.dimension,
        query=repr(model.prompts.for_query("retrieval")),
        document=repr(model.prompts.document),
    )
