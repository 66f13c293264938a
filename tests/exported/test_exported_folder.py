"""An exported folder gives the same vectors in every library that loads it."""

from __future__ import annotations

import errno
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the extra sentence-transformers brings it")

from sentence_transformers import SentenceTransformer

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.errors import StorageError
from llm2vec_gen_rag.sentence_transformers import LLM2VecGenModule, export

TEXTS = ["where do polar bears live", "", "<question1> is text</s>", "They swim far. " * 60, "雪"]
FLOAT32 = {"trust_remote_code": True, "device": "cpu", "model_kwargs": {"dtype": "float32"}}
CONFIG = "config_sentence_transformers.json"


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The first checkpoint, exported, and moved to where no path of before leads."""
    written = export(model, tmp_path_factory.mktemp("before") / "folder")
    moved = tmp_path_factory.mktemp("after") / "moved"
    shutil.move(written, moved)
    return moved


@pytest.fixture(scope="module")
def loaded(exported):
    return SentenceTransformer(str(exported), **FLOAT32)


def assert_same(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_architecture_has_the_same_vectors(each_model, tmp_path):
    loaded = SentenceTransformer(str(export(each_model, tmp_path / "folder")), **FLOAT32)
    assert_same(loaded.encode_query(TEXTS), each_model.encode_query(TEXTS))
    assert_same(loaded.encode_document(TEXTS, batch_size=2), each_model.encode_document(TEXTS))


def test_prompts_are_those_of_the_model(model, loaded):
    assert_same(loaded.encode(TEXTS), model.encode(TEXTS))
    assert_same(loaded.encode(TEXTS, prompt_name="sts"), model.encode_query(TEXTS, "sts"))
    assert_same(loaded.encode(TEXTS, prompt="Say: "), model.encode(TEXTS, instruction="Say: "))


def test_what_the_folder_states(model, loaded):
    assert loaded.get_embedding_dimension() == model.dimension
    assert loaded.similarity_fn_name == "cosine"
    assert loaded.max_seq_length == 512
    assert loaded.device == model.device


def test_max_seq_length_is_max_length_and_is_saved(model, loaded, tmp_path):
    loaded.max_seq_length = 24
    try:
        loaded.save(str(tmp_path / "again"), create_model_card=False)
        assert_same(loaded.encode(TEXTS), model.encode(TEXTS, max_length=24))
    finally:
        loaded.max_seq_length = 512
    again = SentenceTransformer(str(tmp_path / "again"), **FLOAT32)
    assert_same(again.encode(TEXTS), model.encode(TEXTS, max_length=24))


def test_the_folder_is_a_checkpoint_too(model, exported):
    again = LLM2VecGen.from_pretrained(exported, dtype="float32", device="cpu")
    assert again.trained_digest == model.trained_digest
    assert again.prompts == model.prompts


def test_no_code_and_no_pickle_of_code_is_in_the_folder(exported):
    assert [path for path in exported.rglob("*") if path.suffix in (".py", ".pkl", ".bin")] == []


def test_sentence_transformers_asks_for_trust_because_the_class_is_not_its_own(exported):
    with pytest.raises(ValueError, match=r"(?s)LLM2VecGenModule.*trust_remote_code=True"):
        SentenceTransformer(str(exported))


def test_what_is_required_is_checked_before_anything_is_loaded(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "later")
    config = json.loads((tmp_path / "later" / CONFIG).read_bytes())
    assert set(config["requirements"]) == {"llm2vec-gen-rag", "sentence-transformers"}
    config["requirements"]["llm2vec-gen-rag"]["specifier"] = ">=999"
    (tmp_path / "later" / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ImportError, match=r"llm2vec-gen-rag.*999"):
        SentenceTransformer(str(tmp_path / "later"), **FLOAT32)


def test_a_folder_that_exists_is_refused_and_left_alone(model, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("mine", "link"):
        with pytest.raises(ValueError, match=rf"{name}' exists; expected a new one"):
            export(model, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine"]


def test_a_folder_inside_the_base_model_is_refused(broken):
    model = LLM2VecGen.from_pretrained(broken, base_model=broken / "base", device="cpu")
    with pytest.raises(ValueError, match="is inside its base model"):
        export(model, broken / "base" / "mine")


def test_a_full_disk_leaves_nothing(model, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LLM2VecGen, "save_pretrained", full)
    with pytest.raises(StorageError, match="No space left on device"):
        export(model, tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_unknown_options_of_loading_are_reported(exported):
    with pytest.raises(ValueError, match="model_kwargs has cheese; expected some of base_model"):
        SentenceTransformer(
            str(exported), trust_remote_code=True, model_kwargs={"cheese": 1, "torch_dtype": "x"}
        )


def test_what_is_no_text_is_reported(loaded):
    with pytest.raises(ValueError, match="expected a string"):
        loaded.encode([("a", "b")])


@pytest.mark.parametrize("given", ["almanac", None])
def test_what_is_no_loaded_model_is_not_exported(given, tmp_path):
    for make in (lambda: export(given, tmp_path / "mine"), lambda: LLM2VecGenModule(given)):
        with pytest.raises(ValueError, match=r"model is .* \(\w+\); .*LLM2VecGen\.from_pretrained"):
            make()
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_folder(run, run_json, tmp_path, model, model_options):
    options = ["--to", "sentence-transformers", *model_options]
    code, out, _ = run("export", tmp_path / "mine", *options)
    assert code == 0
    assert "trust_remote_code=True" in out
    loaded = SentenceTransformer(str(tmp_path / "mine"), **FLOAT32)
    assert_same(loaded.encode_query(TEXTS[0]), model.encode_query(TEXTS[0]))
    code, _, err = run("export", tmp_path / "mine", *options)
    assert (code, "exists; expected a new one" in err) == (1, True)


@pytest.mark.filterwarnings("ignore:Task name .* is not valid:UserWarning")
def test_mteb_reads_it_with_its_prompts(model, exported):
    pytest.importorskip("mteb", reason="the extra eval brings it")
    from datasets import Dataset
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import SentenceTransformerEncoderWrapper
    from mteb.types import PromptType
    from torch.utils.data import DataLoader

    with pytest.warns(UserWarning, match="prompts are not in the expected format"):
        encoder = SentenceTransformerEncoderWrapper(str(exported), **FLOAT32)
    task = TaskMetadata(
        name="Tiny", dataset={"path": "Tiny", "revision": "local"}, description="Tiny",
        type="Retrieval", category="t2t", eval_langs=["eng-Latn"], main_score="ndcg_at_10",
    )  # fmt: skip
    sides = ((PromptType.query, model.encode_query), (PromptType.document, model.encode_document))
    for side, encode in sides:
        texts = DataLoader(Dataset.from_dict({"text": TEXTS}), batch_size=2)
        found = encoder.encode(
            texts, task_metadata=task, hf_split="test", hf_subset="default", prompt_type=side
        )
        assert_same(found, encode(TEXTS))


def test_the_class_of_langchain_has_the_same_vectors(model, exported):
    classes = pytest.importorskip("langchain_huggingface", reason="not an extra of this package")
    embeddings = classes.HuggingFaceEmbeddings(
        model_name=str(exported),
        model_kwargs=FLOAT32,
        encode_kwargs={"prompt_name": "document"},
        query_encode_kwargs={"prompt_name": "query"},
    )
    assert_same(embeddings.embed_documents(TEXTS), model.encode_document(TEXTS))
    assert_same(embeddings.embed_query(TEXTS[0]), model.encode_query(TEXTS[0]))


def test_the_class_of_llama_index_has_the_same_vectors(model, exported):
    classes = pytest.importorskip(
        "llama_index.embeddings.huggingface", reason="not an extra of this package"
    )
    embedding = classes.HuggingFaceEmbedding(
        str(exported),
        trust_remote_code=True,
        device="cpu",
        model_kwargs={"dtype": "float32"},
        query_instruction=model.prompts.for_query("retrieval"),
        text_instruction=model.prompts.document,
    )
    assert_same(embedding.get_text_embedding_batch(TEXTS), model.encode_document(TEXTS))
    assert_same(embedding.get_query_embedding(TEXTS[0]), model.encode_query(TEXTS[0]))
