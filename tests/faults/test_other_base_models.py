"""A collection opens with the model that wrote it, on the base model that it was written on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from qdrant_client import QdrantClient
from reference_kits import KITS, ReferenceKit
from safetensors.torch import load_file, save_file

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.backbone.digest import weight_checksums, weights_digest
from llm2vec_gen_rag.errors import CollectionError, CollectionMismatchError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection
from llm2vec_gen_rag.qdrant.opening.identity import FORMAT
from llm2vec_gen_rag.qdrant.opening.llm_identity import LLMIdentity

IDENTITY = "llm2vec_gen"
DOWN = "model.layers.0.mlp.down_proj.weight"


@pytest.fixture
def written(model):
    """A client with the collection "notes", which `model` wrote in float32."""
    client = QdrantClient(":memory:")
    DocumentCollection(client, "notes", model).index([Document("The yen is the money of Japan.")])
    yield client
    client.close()


@pytest.fixture
def base(qwen3, tmp_path):
    """A copy of the base model, to change."""
    return shutil.copytree(qwen3.base, tmp_path / "base")


def load(kit, base, dtype="float32"):
    return LLM2VecGen.from_pretrained(kit.checkpoint, base_model=base, dtype=dtype, device="cpu")


def change_weights(base, change):
    weights = load_file(base / "model.safetensors")
    change(weights)
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


def change_config(base, **settings):
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | settings))


def flip(bit):
    """Flip one bit of one weight, as it is stored in float32."""

    def change(weights):
        weights[DOWN].view(torch.int32)[3, 5] ^= torch.tensor(1 << bit, dtype=torch.int64).int()

    return change


def another_revision(weights):
    generator = torch.Generator().manual_seed(0)
    for weight in weights.values():
        weight.mul_(1 + 1e-3 * torch.randn(weight.shape, generator=generator))


CHANGES = {
    "all zero": lambda weights: [weight.zero_() for weight in weights.values()],
    "one matrix zero": lambda weights: weights[DOWN].zero_(),
    "one row zero": lambda weights: weights[DOWN][1].zero_(),
    "a flipped sign": flip(31),
    "a flipped exponent": flip(25),
    "a flipped bit of little weight": flip(0),
    "every sign of one matrix": lambda weights: weights[DOWN].neg_(),
    "another revision": another_revision,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_weights_of_the_base_model_are_refused(written, qwen3, base, change):
    change_weights(base, change)
    with pytest.raises(CollectionMismatchError, match="its base model had other weights than your"):
        DocumentCollection(written, "notes", load(qwen3, base))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("change", ["all zero", "one matrix zero", "every sign of one matrix"])
def test_other_weights_are_refused_in_another_dtype_too(written, qwen3, base, change, dtype):
    change_weights(base, CHANGES[change])
    with pytest.raises(CollectionMismatchError, match=r"other weights|has the cosine"):
        DocumentCollection(written, "notes", load(qwen3, base, dtype))


def test_one_flipped_bit_is_refused_in_bfloat16_too(written, qwen3, base):
    change_weights(base, CHANGES["a flipped sign"])
    with pytest.raises(CollectionMismatchError, match="other weights than yours"):
        DocumentCollection(written, "notes", load(qwen3, base, "bfloat16"))


def test_layers_cut_from_the_loaded_model_are_refused(written, qwen3):
    cut = qwen3.load()
    cut.backbone.base_model.layers = cut.backbone.base_model.layers[:-2]
    cut.backbone.config.num_hidden_layers -= 2
    with pytest.raises(CollectionMismatchError, match="other weights than yours"):
        DocumentCollection(written, "notes", cut)


@pytest.mark.parametrize(
    "settings",
    [
        {"rms_norm_eps": 0.5},
        {"rms_norm_eps": 1e-3},
        {"hidden_act": "relu"},
        {"rope_theta": 10500.0},
        {"rope_scaling": {"rope_type": "linear", "factor": 1.01}},
        {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
        {"max_position_embeddings": 2048},
        {
            "layer_types": ["sliding_attention"] * 3,
            "use_sliding_window": True,
            "sliding_window": 99,
        },
    ],
    ids=lambda settings: str(settings),
)
def test_the_same_weights_under_another_config_are_refused(written, qwen3, base, settings):
    change_config(base, **settings)
    with pytest.raises(CollectionMismatchError, match="the config of its base model had"):
        DocumentCollection(written, "notes", load(qwen3, base))


@pytest.mark.parametrize("kit", KITS)
def test_floating_point_dtypes_of_one_model_open_what_the_others_wrote(kit):
    models = [ReferenceKit(kit).load(dtype=d) for d in ("float32", "bfloat16", "float16")]
    for writer in models:
        client = QdrantClient(":memory:")
        DocumentCollection(client, "notes", writer)
        for reader in models:
            DocumentCollection(client, "notes", reader)


@pytest.mark.parametrize("dtypes", [("float32", "int8"), ("int8", "bfloat16"), ("int8", "int8")])
def test_int8_and_floating_point_share_a_model_that_8_bits_hardly_change(qwen3, dtypes):
    client = QdrantClient(":memory:")
    for dtype in dtypes:
        DocumentCollection(client, "notes", qwen3.load(dtype=dtype))


def test_int8_of_a_model_that_8_bits_change_is_refused_with_the_dtype_to_pass(model):
    mine = LLMIdentity.of(model)
    turned = [*mine.probe[:-1], mine.probe[-1] + 0.08]  # as 8 bits turn vectors of SmolLM2
    assert mine.difference(replace(mine, dtypes="bfloat16", probe=turned)) is None
    message = mine.difference(replace(mine, dtypes="bfloat16 and int8", probe=turned))
    assert "yours in bfloat16 and int8, and 8 bits change this model too much" in message
    assert message.endswith("pass the same dtype")


@pytest.mark.parametrize(
    ("dtypes", "near", "far"), [("float32", 5e-3, 0.05), ("bfloat16", 0.05, 0.2)]
)
def test_a_probe_that_differs_by_a_little_passes_and_by_more_does_not(model, dtypes, near, far):
    mine = replace(LLMIdentity.of(model), dtypes=dtypes)
    assert mine.difference(mine) is None
    assert mine.difference(replace(mine, probe=[*mine.probe[:-1], mine.probe[-1] + near])) is None
    theirs = replace(mine, probe=[*mine.probe[:-1], mine.probe[-1] + far])
    assert "has the cosine 0.9" in mine.difference(theirs)


def test_a_float32_model_has_the_checksum_of_its_bfloat16_copy(qwen3):
    whole = weight_checksums(qwen3.load().backbone)
    rounded = weight_checksums(qwen3.load(dtype="bfloat16").backbone)
    assert set(whole) == {"float32", "bfloat16"}
    assert rounded == {"bfloat16": whole["bfloat16"]}
    assert whole["float32"] != whole["bfloat16"]


class Router(torch.nn.Linear):
    """A layer with a buffer that is saved, as in mixtures of experts, and one that is not."""

    def __init__(self, dtype=torch.float32, buffer=torch.float32):
        super().__init__(3, 2, dtype=dtype)
        torch.nn.init.constant_(self.weight, 0.5)
        torch.nn.init.zeros_(self.bias)
        self.register_buffer("e_score_correction_bias", torch.full((2,), 0.3, dtype=buffer))
        self.register_buffer("experts", torch.tensor([3, 4]))
        self.register_buffer("positions", torch.arange(4), persistent=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("digest", [weight_checksums, weights_digest])
def test_buffers_that_are_saved_are_weights(dtype, digest):
    expected = digest(Router(dtype))
    assert expected
    for name in ("e_score_correction_bias", "experts"):
        changed = Router(dtype)
        getattr(changed, name)[1] *= 2
        assert digest(changed) != expected
    changed = Router(dtype)
    changed.positions += 1
    assert digest(changed) == expected


def test_a_buffer_is_read_in_bfloat16_where_the_weights_are():
    rounded = weight_checksums(Router())["bfloat16"]
    for buffer in (torch.float32, torch.bfloat16):
        assert weight_checksums(Router(torch.bfloat16, buffer)) == {"bfloat16": rounded}


def test_weights_that_are_not_in_memory_have_no_checksum():
    assert weight_checksums(torch.nn.Linear(3, 2, device="meta")) == {}


@pytest.mark.parametrize(
    ("earlier", "lacks"), [(1, {"llm"}), (2, {"tokenizer", "settings"})], ids=["1", "2"]
)
def test_a_collection_of_an_earlier_format_is_to_be_indexed_again(written, model, earlier, lacks):
    record = written.get_collection("notes").config.metadata[IDENTITY]
    llm = {name: part for name, part in record["llm"].items() if name not in lacks}
    old = {name: part for name, part in record.items() if name not in lacks} | {"format": earlier}
    if "llm" in old:
        old["llm"] = llm
    written.update_collection("notes", metadata={IDENTITY: old})
    said = rf"its format is {earlier}.*index your documents aga"
    with pytest.raises(CollectionMismatchError, match=said):
        DocumentCollection(written, "notes", model)


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: "qwen3",
        lambda record: [1, 2],
        lambda record: 7,
        lambda record: {"format": FORMAT},
        lambda record: record | {"llm": None},
        lambda record: record | {"llm": record["llm"] | {"probe": "x"}},
        lambda record: record | {"llm": record["llm"] | {"probe": [None]}},
        lambda record: record | {"llm": record["llm"] | {"checksums": None}},
        lambda record: record | {"llm": record["llm"] | {"tokenizer": [1]}},
        lambda record: record | {"llm": record["llm"] | {"settings": "x"}},
        lambda record: record | {"query_instructions": None},
        lambda record: record | {"query_instructions": "x"},
        lambda record: record | {"unknown": 1},
    ],
)
def test_a_damaged_record_of_the_model_is_an_error_of_ours(written, model, damage):
    record = written.get_collection("notes").config.metadata[IDENTITY]
    written.update_collection("notes", metadata={IDENTITY: damage(record)})
    with pytest.raises(CollectionError, match="What collection 'notes' remembers of its model is"):
        DocumentCollection(written, "notes", model)
