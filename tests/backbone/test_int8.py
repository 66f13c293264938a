"""The LLM's layers in 8 bits on a CPU: nearly the same vectors, from less memory."""

from __future__ import annotations

import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from installed_smollm2 import needs_smollm2
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.backbone import device as devices
from llm2vec_gen_rag.backbone import int8
from llm2vec_gen_rag.backbone.digest import weight_checksums
from llm2vec_gen_rag.backbone.int8 import (
    OUTLIERS,
    Int8Linear,
    outlier_columns,
    quantize_layers,
    rounded_rows,
)
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.parallel.pool import EncoderPool
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

DOCUMENTS = [document.text for document in almanac.documents()[:60]]
QUESTIONS = [question.text for question in almanac.held_out_questions()[:30]]


@pytest.fixture(scope="module")
def in_int8():
    return LLM2VecGen.from_pretrained("almanac", dtype="int8", device="cpu")


@pytest.fixture(scope="module")
def in_bfloat16():
    return LLM2VecGen.from_pretrained("almanac", dtype="bfloat16", device="cpu")


def cosines(found, expected):
    return (found * expected).sum(axis=-1)


def layer_bytes(model):
    weights = [*model.backbone.base_model.layers.parameters()]
    weights += model.backbone.base_model.layers.buffers()
    return sum(weight.numel() * weight.element_size() for weight in weights)


# --- one layer


@pytest.mark.parametrize("rows", [1, 2, 16, 17, 300])
@pytest.mark.parametrize(("dtype", "bias"), [(torch.float32, True), (torch.bfloat16, False)])
def test_a_layer_computes_what_its_rounded_factors_come_to(rows, dtype, bias):
    torch.manual_seed(0)
    layer = nn.Linear(96, 40, bias=bias).to(dtype)
    inputs = torch.randn(rows, 96).to(dtype)
    before = inputs.clone()
    with torch.no_grad():
        found = Int8Linear(layer)(inputs)
        exact = layer.double()(inputs.double())
    (weight, weight_scale), (row, row_scale) = rounded_rows(layer.weight), rounded_rows(inputs)
    expected = (row.double() * row_scale) @ (weight.double() * weight_scale).t()
    if bias:
        expected += layer.bias
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 8e-3
    torch.testing.assert_close(found, expected.to(dtype), rtol=tolerance, atol=1e-5)
    assert torch.cosine_similarity(found.double(), exact).min() > 0.999
    assert torch.equal(inputs, before)


def test_a_row_comes_to_the_same_alone_and_among_others():
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(128, 64))
    inputs = torch.randn(5, 60, 128)
    with torch.no_grad():
        together = layer(inputs)
        assert together.shape == (5, 60, 64)
        for text, row in ((0, 0), (3, 17), (4, 59)):
            assert torch.equal(layer(inputs[text, row : row + 1]), together[text, row : row + 1])
        assert torch.equal(layer(inputs[2:4]), together[2:4])


def test_columns_of_outliers_are_not_rounded():
    torch.manual_seed(0)
    layer = nn.Linear(96, 40, bias=False)
    inputs = torch.randn(60, 96)
    inputs[:, 7] *= 300  # the scale of its row rounds all others to nothing
    with torch.no_grad():
        exact = layer(inputs)
        rounded = Int8Linear(layer)(inputs)
        found = Int8Linear(layer, torch.tensor([7, 50]))(inputs)
        exact -= outer(inputs, layer, 7)  # what is left is what the other columns say
        rounded -= outer(inputs, layer, 7)
        found -= outer(inputs, layer, 7)
    assert torch.cosine_similarity(rounded, exact).min() < 0.9
    assert torch.cosine_similarity(found, exact).min() > 0.999


def outer(inputs, layer, column):
    return inputs[:, column, None] * layer.weight[:, column]


def test_the_columns_of_outliers_are_found_whatever_is_read(qwen3):
    backbone = AutoModelForCausalLM.from_pretrained(qwen3.base)
    layer = backbone.base_model.layers[1]
    with torch.no_grad():
        layer.input_layernorm.weight[[3, 11]] = 200.0
    found = outlier_columns(backbone, {"q": layer.self_attn.q_proj, "down": layer.mlp.down_proj})
    assert {3, 11} <= set(found["q"].tolist())
    assert len(found["q"]) == backbone.config.hidden_size // OUTLIERS
    assert len(found["down"]) == backbone.config.intermediate_size // OUTLIERS
    assert not layer.self_attn.q_proj._forward_pre_hooks


def test_the_checksum_is_that_of_the_weights_whichever_columns_are_outliers():
    """Which of two nearly equal columns is larger may differ from CPU to CPU."""
    layer = nn.Linear(96, 40)
    rounded = [Int8Linear(layer, torch.tensor(columns)) for columns in ([3, 7], [3, 8])]
    assert weight_checksums(rounded[0]) == weight_checksums(rounded[1])


def test_a_layer_that_reads_nothing_has_no_columns(qwen3):
    backbone = AutoModelForCausalLM.from_pretrained(qwen3.base)
    unused = nn.Linear(32, 8)
    layer = backbone.base_model.layers[0].self_attn.q_proj
    layer.register_forward_pre_hook(lambda *_: (unused(torch.empty(0, 32)), None)[1])
    assert set(outlier_columns(backbone, {"q": layer, "unused": unused})) == {"q"}


def test_a_row_of_zeros_and_one_that_is_damaged():
    layer = Int8Linear(nn.Linear(8, 4, bias=False))
    damaged = torch.ones(4, 8)
    damaged[0], damaged[1, 3], damaged[2, 3] = 0, torch.nan, torch.inf
    with torch.no_grad():
        found = layer(damaged)
    assert torch.equal(found[0], torch.zeros(4))
    assert not found[1:3].isfinite().any()
    assert found[3].isfinite().all()


# --- the CPU


@pytest.fixture
def measured_anew():
    """This CPU is measured again in the test, and after it."""
    forget()
    yield
    forget()


def forget():
    int8._is_exact.cache_clear()
    int8.PRODUCTS_OF_INT8.set(None)


@pytest.mark.parametrize("fast", [False, True])
def test_either_way_to_multiply_gives_the_same(monkeypatch, fast):
    """The product of integers stands in for that of a CPU whose own one may overflow."""
    used = []
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: used.append(1) or a.int() @ b.int())
    monkeypatch.setattr(int8, "has_fast_products", lambda: fast)
    torch.manual_seed(0)
    rows, weight = (torch.randint(-127, 128, (size, 1536)).to(torch.int8) for size in (40, 60))
    expected = rows.double() @ weight.double().t()
    found = int8.multiplied(rows, weight)
    assert found.dtype == torch.float32
    assert bool(used) == fast
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1)


@pytest.mark.usefixtures("measured_anew")
@pytest.mark.parametrize(
    "product",
    [
        lambda a, b: (a.int() @ b.int()).clamp(max=2**15),
        lambda a, b: time.sleep(0.05) or torch.full((len(a), b.shape[1]), 512 * 127**2),
    ],
    ids=["overflows", "slow"],
)
def test_a_cpu_that_multiplies_8_bits_wrongly_or_slowly_does_so_in_float32(
    monkeypatch, in_int8, product
):
    expected = in_int8.encode_document(DOCUMENTS[:3])
    forget()
    monkeypatch.setattr(torch, "_int_mm", product)
    assert not int8.has_fast_products()
    assert cosines(in_int8.encode_document(DOCUMENTS[:3]), expected).min() > 0.9995


@pytest.mark.usefixtures("measured_anew")
def test_a_cpu_with_fast_products_uses_them(monkeypatch):
    answer = torch.full((64, 512), 512 * 127**2)
    monkeypatch.setattr(torch, "_int_mm", lambda _, __: answer)
    assert int8.has_fast_products()


# --- whole models


@pytest.mark.parametrize("fast", [False, True])
def test_where_8_bits_are_not_multiplied_fast_loading_says_so(qwen3, monkeypatch, caplog, fast):
    monkeypatch.setattr("llm2vec_gen_rag.backbone.loading.has_fast_products", lambda: fast)
    qwen3.load(dtype="int8")
    assert ("int8 takes less memory and embeds slower" in caplog.text) is not fast


def test_every_kit_gives_nearly_its_vectors(each_kit, each_model):
    model = each_kit.load(dtype="int8")
    assert model.dtype == torch.int8
    assert cosines(model.encode(each_kit.texts), each_model.encode(each_kit.texts)).min() > 0.99


@needs_smollm2
@pytest.mark.slow
def test_a_real_llm_keeps_its_vectors():
    """SmolLM2 has outliers, as random weights have none; with every column rounded it is 0.95."""
    texts = [document.text for document in almanac.documents()[::800]]
    exact, found = (
        LLM2VecGen.from_pretrained("smollm2", dtype=dtype, device="cpu").encode_document(texts)
        for dtype in ("float32", "int8")
    )
    assert cosines(found, exact).min() > 0.985
    assert cosines(found, exact).mean() > 0.99


def test_all_else_stays_in_the_dtype_of_the_cpu(qwen3, monkeypatch):
    for native, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda native=native: native)
        model = qwen3.load(dtype="int8")
        backbone = model.backbone
        assert backbone.dtype == backbone.get_input_embeddings().weight.dtype == dtype
        assert type(backbone.get_output_embeddings()) is nn.Linear
        layers = [m for m in backbone.base_model.layers.modules() if hasattr(m, "in_features")]
        assert {type(layer) for layer in layers} == {Int8Linear}
        assert model.fingerprint == qwen3.load().fingerprint


def test_the_layers_take_little_more_than_half_of_what_bfloat16_takes(in_int8, in_bfloat16):
    """Besides the integers, one column of sixteen is there in bfloat16, or in float32."""
    of_outliers = in_int8.backbone.dtype.itemsize / OUTLIERS
    assert layer_bytes(in_int8) < 1.02 * (1 + of_outliers) / 2 * layer_bytes(in_bfloat16)


def test_the_almanac_keeps_its_vectors_and_what_it_finds(in_int8, in_bfloat16):
    vectors = {
        model: (model.encode_document(DOCUMENTS), model.encode_query(QUESTIONS))
        for model in (in_int8, in_bfloat16)
    }
    for found, expected in zip(vectors[in_int8], vectors[in_bfloat16], strict=True):
        assert cosines(found, expected).min() > 0.99
    first = [(queries @ documents.T).argmax(axis=1) for documents, queries in vectors.values()]
    assert (first[0] == first[1]).mean() > 0.95


@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_text_has_one_vector_in_whichever_batch(in_int8, batch_size):
    together = in_int8.encode_document(DOCUMENTS)
    in_batches = in_int8.encode_document(DOCUMENTS, batch_size=batch_size)
    assert cosines(in_batches, together).min() > 0.9995
    assert cosines(in_int8.encode_document(DOCUMENTS[5]), together[5]) > 0.9995


def test_an_embedding_is_read_as_the_answer(in_int8, in_bfloat16):
    read, expected = (
        model.decode(QUESTIONS, instruction=model.prompts.for_query("retrieval"))
        for model in (in_int8, in_bfloat16)
    )
    assert np.mean([a == b for a, b in zip(read, expected, strict=True)]) > 0.9
    assert in_int8.decode(QUESTIONS[0], instruction=in_int8.prompts.for_query("retrieval"))


# --- errors


def test_a_gpu_is_refused():
    with pytest.raises(ValueError, match=r"int8.*on cuda:0; expected a CPU. Pass device='cpu'"):
        devices.pick_dtype("int8", torch.device("cuda:0"), None)


@pytest.mark.parametrize(
    "plan", [{"device_map": "auto"}, {"quantization_config": BitsAndBytesConfig()}]
)
def test_another_plan_beside_it_is_refused(qwen3, plan):
    (name,) = plan
    with pytest.raises(ValueError, match=f"got both dtype='int8' and {name}="):
        qwen3.load(dtype="int8", **plan)


def test_gradient_is_refused(in_int8):
    layer = next(m for m in in_int8.backbone.modules() if isinstance(m, Int8Linear))
    with pytest.raises(ValueError, match="int8, which carries no gradient"):
        layer(torch.randn(3, layer.in_features, requires_grad=True))


def test_an_llm_without_linear_layers_is_refused(qwen3):
    backbone = AutoModelForCausalLM.from_pretrained(qwen3.base)
    backbone.base_model.layers = nn.ModuleList()
    with pytest.raises(ValueError, match=r"no torch.nn.Linear in the layers of Qwen3ForCausalLM"):
        quantize_layers(backbone)


def test_no_weight_is_left_in_the_file_it_came_from(qwen3, tmp_path):
    """A single one would keep the whole file mapped."""
    files = Path("/proc/self/maps")
    if not files.is_file():
        pytest.skip("only Linux tells which files are mapped")
    base = shutil.copytree(qwen3.base, tmp_path / "base")  # which no other test has mapped
    model = LLM2VecGen.from_pretrained(
        str(qwen3.checkpoint), base_model=str(base), dtype="int8", device="cpu"
    )
    assert str(base) not in files.read_text()
    assert model.encode("seals").any()


# --- wherever a dtype goes


@pytest.mark.parametrize("adapter", [LLM2VecGenEmbeddings, LLM2VecGenEmbedding])
def test_an_adapter_and_its_copy_keep_it(qwen3, adapter):
    made = adapter(
        model_name=str(qwen3.checkpoint), base_model=str(qwen3.base), dtype="int8", device="cpu"
    )
    copy = pickle.loads(pickle.dumps(made))
    assert made.dtype == copy.dtype == "int8"
    assert copy.loaded_model().dtype == torch.int8


@pytest.mark.usefixtures("forked_workers")
def test_processes_embed_in_it(in_int8):
    with EncoderPool("almanac", devices=["cpu"], dtype="int8") as pool:
        found = pool.encode_document(DOCUMENTS)
    assert cosines(found, in_int8.encode_document(DOCUMENTS)).min() > 0.9995


def test_its_queries_search_what_bfloat16_embedded(tmp_path, in_int8, in_bfloat16):
    documents = [Document(text, id=str(row)) for row, text in enumerate(DOCUMENTS)]
    with DocumentCollection.open(tmp_path, "almanac", in_bfloat16) as collection:
        collection.index(documents)
        expected = [collection.search(question, k=1)[0].text for question in QUESTIONS]
    with DocumentCollection.open(tmp_path, "almanac", in_int8) as collection:
        found = [collection.search(question, k=1)[0].text for question in QUESTIONS]
    assert np.mean([a == b for a, b in zip(found, expected, strict=True)]) > 0.95
