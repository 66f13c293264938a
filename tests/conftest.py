"""The reference checkpoints, and the command line on one of them; nothing reaches the network."""

from __future__ import annotations

import functools
import gc
import json
import os
import shutil
import weakref

import pytest

# both are read when libraries are imported, so before anything else, and by child processes too
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small lose time to several threads

from child_processes import FORKED
from reference_kits import KITS, ReferenceKit

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.arguments import BUNDLED_MODELS
from llm2vec_gen_rag.backbone import laying_out
from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.cli import main
from llm2vec_gen_rag.decoder import Continuation
from llm2vec_gen_rag.safety import RefusalGate


def pytest_collection_finish():
    """Exempt what is imported by now from garbage collection: each training run collects all."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def always_laid_out(monkeypatch):
    """The layout is taken for the faster one, for matrices of any size."""
    monkeypatch.setattr(laying_out, "LEAST_WEIGHTS", 0)
    ways = [*laying_out.LAID_OUT.values(), *laying_out.PLAIN_ROW.values()]
    for way in ways:
        way.set(way in laying_out.LAID_OUT.values())
    yield
    for way in ways:
        way.set(None)


@pytest.fixture(scope="session", params=KITS)
def each_kit(request) -> ReferenceKit:
    """Each reference checkpoint in turn: Qwen3, Qwen3 with LoRA, Qwen2, Llama."""
    return ReferenceKit(request.param)


def shared_model(kit):
    """Yield a loaded checkpoint, which tests must leave as it was."""
    model = kit.load()
    before = state_of(model)
    yield model
    assert state_of(model) == before, f"a test changed the shared model of {kit.folder.name}"


def state_of(model):
    """Return what a test could leave behind in a model that others share."""
    backbone = model.backbone
    parameters = [model.response_tokens, *model.reconstruction.parameters()]
    parameters += [*model.alignment.parameters(), *backbone.parameters()]
    hooks = [(len(m._forward_pre_hooks), len(m._forward_hooks)) for m in backbone.modules()]
    return (
        model.fingerprint,
        weights_digest(backbone),
        [(parameter.requires_grad, parameter.grad is None) for parameter in parameters],
        hooks,
        backbone.config._attn_implementation,
        model.prompts,
    )


@pytest.fixture(scope="session")
def each_model(each_kit):
    """Each reference checkpoint in turn, loaded; shared, so tests leave it as it was."""
    yield from shared_model(each_kit)


@pytest.fixture(scope="session")
def qwen3() -> ReferenceKit:
    """The first reference checkpoint."""
    return ReferenceKit("qwen3-10")


@pytest.fixture(scope="session")
def model(qwen3):
    """The first reference checkpoint, loaded; shared, so tests leave it as it was."""
    yield from shared_model(qwen3)


@pytest.fixture(scope="session")
def other_model():
    """Another reference checkpoint, loaded; shared, so tests leave it as it was."""
    yield from shared_model(ReferenceKit("qwen2-6-4"))


@pytest.fixture
def fresh_model(qwen3):
    """The first reference checkpoint, loaded for one test, which may train or change it."""
    return qwen3.load()


@pytest.fixture(scope="session")
def load_kit():
    """Load a reference checkpoint anew by the name of its folder, for a test that changes it."""

    def load(kit, dtype="float32"):
        return ReferenceKit(kit).load(dtype=dtype)

    return load


@pytest.fixture
def forked_workers(monkeypatch):
    """Let the processes of a pool start at once, for a test that is not about their start."""
    monkeypatch.setattr("llm2vec_gen_rag.parallel.worker.get_context", lambda method: FORKED)


@pytest.fixture(scope="session")
def almanac_vectors():
    """The vectors of the almanac's documents, by the texts and options they were asked for with."""
    return {}


@pytest.fixture(scope="module")
def almanac_embedded_once(almanac_vectors):
    """Let runs of `demo` and `eval` share the documents' vectors, which take most of their time."""
    encode = LLM2VecGen.encode_document

    def remembered(model, texts, **options):
        if model.name != "almanac" or isinstance(texts, str):
            return encode(model, texts, **options)
        asked = (model.dtype, tuple(texts), *options.items())
        if asked not in almanac_vectors:
            almanac_vectors[asked] = encode(model, texts, **options)
        return almanac_vectors[asked].copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LLM2VecGen, "encode_document", remembered)
        yield


@pytest.fixture(scope="session")
def bundled_models():
    """The bundled models that were loaded, by their names and the options they were loaded with."""
    return {}


@pytest.fixture(scope="module")
def bundled_loaded_once(bundled_models):
    """Let commands share the bundled models: to load smollm2, its GGUF file is dequantised."""
    load = LLM2VecGen.from_pretrained

    @functools.wraps(load)
    def remembered(name, **options):
        if name not in BUNDLED_MODELS:
            return load(name, **options)
        given = {option: value for option, value in options.items() if value is not None}
        given.pop("local_files_only", None)  # nothing is downloaded here anyway
        asked = (name, *sorted(given.items()))
        if asked not in bundled_models:
            bundled_models[asked] = load(name, **options)
        return bundled_models[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LLM2VecGen, "from_pretrained", remembered)
        yield


@pytest.fixture
def broken(qwen3, tmp_path):
    """A copy of the first reference checkpoint to break, its base inside as `base/`."""
    shutil.copytree(qwen3.checkpoint, tmp_path / "checkpoint")
    shutil.copytree(qwen3.base, tmp_path / "checkpoint" / "base")
    return tmp_path / "checkpoint"


@pytest.fixture
def model_options(qwen3):
    options = {"model": qwen3.checkpoint, "base-model": qwen3.base, "dtype": "float32"}
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "bears.md").write_text("# Bears\n\nPolar bears live in the Arctic.\n")
    (folder / "money.txt").write_text("The yen is the money of Japan.")
    (folder / "rows.jsonl").write_text(
        '{"id": "kyoto", "text": "Kyoto was the capital.", "metadata": {"year": 1868}}\n'
        '{"id": "cats", "text": "A cat sleeps.", "metadata": {"year": 2024}}\n'
    )
    return folder


@pytest.fixture
def run(capsys):
    """Run the command line; returns its exit code, output and errors."""

    def run_main(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_main


@pytest.fixture
def run_json(run):
    """Run the command line with `--json`; returns what it prints, parsed."""

    def run_main(*argv):
        code, out, err = run(*argv, "--json")
        assert code == 0, err
        return json.loads(out)

    return run_main


@pytest.fixture(scope="session")
def almanac_gate():
    """The gate that ships with the almanac, and its model."""
    return RefusalGate.of(LLM2VecGen.from_pretrained("almanac", dtype="float32"))


@pytest.fixture
def continuations(monkeypatch):
    """Weak references to whatever holds a KV cache."""
    held: list[weakref.ref[Continuation]] = []
    begin = Continuation.__init__

    def watched(self, *arguments):
        held.append(weakref.ref(self))
        begin(self, *arguments)

    monkeypatch.setattr(Continuation, "__init__", watched)
    return held
