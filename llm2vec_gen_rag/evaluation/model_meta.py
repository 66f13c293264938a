"""What mteb's registry states of a model: a `ModelMeta` with its declared training data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from llm2vec_gen_rag.arguments import SMOLLM2
from llm2vec_gen_rag.backbone.facts import embedding_weight
from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.model import LLM2VecGen, require_model
from llm2vec_gen_rag.prompts.mteb import MTEB_INSTRUCTIONS

require_extra("eval", "mteb")

import mteb  # noqa: E402
from mteb.models.model_meta import ModelMeta, ScoringFunction  # noqa: E402

from llm2vec_gen_rag.evaluation.mteb_encoder import MtebEncoder  # noqa: E402

PAPER = "https://arxiv.org/abs/2603.10913"
CITATION = """@article{llm2vecgen,
  title={LLM2Vec-Gen: Generative Embeddings from Large Language Models},
  author={BehnamGhader and Adlakha and Schmidt and Chapados and Mosbach and Reddy},
  journal={arXiv preprint arXiv:2603.10913},
  year={2026}
}"""
MAX_LENGTH = 512  # the paper's

_COMMUNITIES = (
    "Android", "English", "Gaming", "Gis", "Mathematica", "Physics", "Programmers", "Stats", "Tex",
    "Unix", "Webmasters", "Wordpress",
)  # fmt: skip
# whose questions smollm2 was trained on, by mteb's names of what is made of them
_ASKED = frozenset(
    {
        "CQADupstackRetrieval",
        *(f"CQADupstack{name}Retrieval" for name in _COMMUNITIES),
        "NQ",
        "NQHardNegatives",
        "NanoNQRetrieval",
    }
)


@dataclass(frozen=True)
class Declaration:
    """What the publisher of a model declares of it, which is not in its weights.

    Attributes:
        name: "organization/model", as in mteb's registry.
        release_date: such as "2026-11-26".
        license: in lower case, such as "apache-2.0".
        languages: such as ("eng-Latn",).
        training_datasets: names of mteb's tasks whose texts the model, or its teacher, was trained
            on. An empty set says that there are none.
        adapted_from: the LLM, as on the hub.
        training_code: where the code that trained it is, if it is public.
        training_data: where the training data is, if it is public.
    """

    name: str
    release_date: str
    license: str
    languages: tuple[str, ...]
    training_datasets: frozenset[str]
    adapted_from: str | None = None
    training_code: str | None = None
    training_data: str | None = None


def model_meta(model: LLM2VecGen, declared: Declaration) -> ModelMeta:
    """Return a model's entry in mteb's registry.

    Args:
        model: the model, which is measured: its size, dimension and similarity.
        declared: what its publisher declares.

    Returns:
        The entry; its `load_model` loads the model by its name and gives an encoder with the
        instructions of the paper's tasks.

    Raises:
        ValueError: if it is no loaded model.
    """
    require_model(model)
    parameters = list(_parameters(model))
    table = embedding_weight(model.backbone)
    return ModelMeta(
        loader=load_encoder,
        loader_kwargs={"source": model.name},
        name=declared.name,
        revision=model.revision or model.fingerprint,
        release_date=declared.release_date,
        languages=list(declared.languages),
        n_parameters=sum(each.numel() for each in parameters),
        n_embedding_parameters=table.numel(),
        memory_usage_mb=round(sum(each.nbytes for each in parameters) / 2**20),
        max_tokens=MAX_LENGTH,
        embed_dim=model.dimension,
        license=declared.license,
        open_weights=True,
        public_training_code=declared.training_code,
        public_training_data=declared.training_data,
        framework=["PyTorch", "Transformers", "safetensors"],
        reference=PAPER,
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=True,
        training_datasets=set(declared.training_datasets),
        adapted_from=declared.adapted_from,
        citation=CITATION,
    )


def load_encoder(
    name: str, revision: str | None = None, *, source: str, device: str | None = None
) -> MtebEncoder:
    """Load a model as mteb's registry does.

    Args:
        name: its name in the registry.
        revision: its revision there.
        source: what `LLM2VecGen.from_pretrained` loads.
        device: where to compute; None picks the best.

    Returns:
        The encoder.

    Raises:
        ValueError: if another revision is asked for than is found.
    """
    model = LLM2VecGen.from_pretrained(source, device=device)
    found = model.revision or model.fingerprint
    if revision not in (None, found):
        raise ValueError(
            f"{name} has the revision {found!r} in {source!r}; expected {revision!r}. Load it on "
            "the base model that it was measured on, or measure it again."
        )
    return MtebEncoder(model, MTEB_INSTRUCTIONS, MAX_LENGTH)


def smollm2_declaration() -> Declaration:
    """Declare the bundled `smollm2`: its own questions, and what its teacher was trained on."""
    teacher = mteb.get_model_meta("sentence-transformers/all-MiniLM-L6-v2")
    return Declaration(
        name=f"llm2vec-gen-rag/{SMOLLM2}",
        release_date="2026-11-26",
        license="apache-2.0",
        languages=("eng-Latn",),
        training_datasets=_ASKED | (teacher.training_datasets or set()),
        adapted_from="HuggingFaceTB/SmolLM2-135M-Instruct",
    )


def _parameters(model: LLM2VecGen) -> Iterator[Tensor]:
    """Yield each tensor of weights once."""
    yield from model.backbone.parameters()
    yield model.response_tokens
    yield from model.reconstruction.parameters()
    yield from model.alignment.parameters()
    if model.adapter is not None:
        yield from model.adapter.parameters()
