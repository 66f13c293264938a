"""The command line from end to end, on a tiny model: what it prints, writes and refuses."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llm2vec_gen_rag import LLM2VecGen, __version__, almanac
from llm2vec_gen_rag.cli import build_parser, main
from llm2vec_gen_rag.commands.demo import as_dict, as_text
from llm2vec_gen_rag.demo import DIRECT_DOCUMENT, ask, choose_questions
from llm2vec_gen_rag.training.tfidf import TfidfTeacher

COMMANDS = ["demo", "index", "search", "explain", "embed", "train", "eval"]
PROGRAM = "import sys; from llm2vec_gen_rag.cli import main; sys.exit(main())"


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


@pytest.fixture
def stdin(monkeypatch):
    """Put bytes on standard input."""

    def put(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def help_of(capsys, *argv):
    with pytest.raises(SystemExit) as exited:
        main([*argv, "--help"])
    assert exited.value.code == 0
    return capsys.readouterr().out


def test_help_lists_the_commands_and_the_exit_codes(capsys):
    text = help_of(capsys)
    assert all(f"\n    {command} " in text for command in COMMANDS)
    assert "exit codes: 0 done; 1 refused" in text
    assert "130 interrupted" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_ends_in_examples_that_the_parser_takes(capsys, command):
    examples = help_of(capsys, command).partition("examples:\n")[2].strip().splitlines()
    assert len(examples) == 2
    parsed = 0
    for example in examples:
        words = shlex.split(example.partition(" | ")[2] or example)
        words = words[: words.index(">")] if ">" in words else words
        assert words[0] == "llm2vec-gen-rag"
        assert callable(build_parser().parse_args(words[1:]).run)
        parsed += words[1] == command
    assert parsed


def test_help_is_quick_and_brings_nothing_heavy():
    program = (
        "import sys, time; from llm2vec_gen_rag.cli import build_parser; "
        "build_parser().format_help(); print(time.process_time(), "
        "*{'torch', 'transformers', 'numpy', 'yaml', 'qdrant_client'} & set(sys.modules))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert all(len(done.stdout.split()) == 1 for done in runs), runs[0].stdout
    assert min(float(done.stdout) for done in runs) < 0.5


def test_version(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"llm2vec-gen-rag {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["search"],
        ["search", "x", "-k", "0"],
        ["search", "x", "--filter", "year"],
        ["index", "notes", "--passage-characters", "many"],
        ["embed", "x.txt", "--side", "left"],
        ["train", "--base-model", "x"],
    ],
)
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_folder_is_indexed_searched_changed_and_emptied(
    run_json, run, notes, tmp_path, model_options
):
    options = ["--store", tmp_path / "store", *model_options]

    def index():
        report = run_json("index", notes, *options)
        return [report[name] for name in ("added", "replaced", "unchanged", "removed")]

    def found():
        return {
            hit["id"]: hit["text"]
            for hit in run_json("search", "money", "-k", "9", *options)["hits"]
        }

    assert index() == [4, 0, 0, 0]
    assert found() == {
        f"{notes}/bears.md#1": "# Bears\n\nPolar bears live in the Arctic.",
        f"{notes}/money.txt#1": "The yen is the money of Japan.",
        "kyoto": "Kyoto was the capital.",
        "cats": "A cat sleeps.",
    }
    (notes / "money.txt").write_text("The euro is the money of France.")
    (notes / "rows.jsonl").unlink()
    (notes / "scan.txt").write_bytes(b"\xff\xfe\x00")
    code, out, err = run("index", notes, *options)
    assert code == 0
    assert "0 documents added, 1 replaced, 1 unchanged, 2 removed" in out
    assert "holds 2 documents" in out
    assert f"not UTF-8 text: {notes}/scan.txt" in err
    assert found()[f"{notes}/money.txt#1"] == "The euro is the money of France."
    for file in notes.iterdir():
        file.unlink()
    assert index() == [0, 0, 0, 2]
    assert found() == {}
    code, _, err = run("index", notes, *options)
    assert (code, "holds no document" in err) == (1, True)


def test_search_agrees_with_the_library_and_shows_what_it_found(
    run, run_json, notes, tmp_path, model_options, model
):
    options = ["--store", tmp_path / "store", *model_options]
    run_json("index", notes, *options)
    hits = run_json("search", "the capital", "-k", "2", *options)["hits"]
    kyoto = model.encode_document("Kyoto was the capital.")
    scores = {hit["id"]: hit["score"] for hit in run_json("search", "old", *options)["hits"]}
    assert len(hits) == 2
    assert hits[0]["score"] >= hits[1]["score"]
    assert scores["kyoto"] == pytest.approx(float(model.encode_query("old") @ kyoto), abs=1e-5)
    filtered = run_json("search", "x", "--filter", "year=1868", *options)["hits"]
    assert [hit["id"] for hit in filtered] == ["kyoto"]
    assert not run_json("search", "x", "--filter", 'year="1868"', *options)["hits"]
    worded = run_json("search", "yen", "--hybrid", "-k", "4", *options)["hits"]
    assert f"{notes}/money.txt#1" in [hit["id"] for hit in worded[:2]]
    code, out, _ = run("search", "the capital", "-k", "1", *options)
    assert (code, out.split()[:3]) == (0, ["1", f"{hits[0]['score']:.3f}", hits[0]["id"]])


def test_a_collection_of_another_model_is_refused(run, run_json, notes, tmp_path, model_options):
    store = ["--store", tmp_path / "store"]
    run_json("index", notes, *store, *model_options)
    other = Path(__file__).parent / "reference" / "qwen2-6-4"
    code, out, err = run(
        "search", "x", *store, "--model", other / "checkpoint", "--base-model", other / "base"
    )
    assert (code, out) == (1, "")
    assert "was written by" in err


MISTAKES = {
    "no such folder": (["index", "nowhere"], "there is no nowhere"),
    "a kind of file that is not read": (["index", "scan.pdf"], ".txt, .md or .jsonl"),
    "a broken line": (["index", "broken.jsonl"], "broken.jsonl, line 2 is not JSON"),
    "no store": (["search", "x", "--store", "nowhere"], "llm2vec-gen-rag index"),
    "no such collection": (["search", "x", "--store", "store"], "it holds none"),
    "a server without a scheme": (["index", "ok.txt", "--store", "ftp://x"], "http://"),
    "no such model": (["embed", "ok.txt", "--json", "--model", "./nowhere"], "'./nowhere'"),
    "an unknown dtype": (["embed", "ok.txt", "--json", "--dtype", "int3"], "dtype='int3'"),
    "an unknown device": (["embed", "ok.txt", "--json", "--device", "tpu9"], "device='tpu9'"),
    "an unknown task": (["explain", "x", "--task", "cooking"], "unknown task 'cooking'"),
    "two documents": (["explain", "x", "--document", "y", "--store", "s"], "Leave one out"),
    "nowhere to write": (["embed", "ok.txt"], "neither of --output and --json"),
    "two places to write": (["embed", "ok.txt", "--json", "--output", "a.npy"], "both"),
    "a place that is not there": (["embed", "ok.txt", "--output", "no/a.npy"], "no/a.npy"),
    "no such file": (["embed", "nowhere.txt", "--json"], "there is no file nowhere.txt"),
    "not UTF-8": (["embed", "scan.pdf", "--json"], "not UTF-8 at byte 0"),
    "no such recipe": (
        ["train", "--base-model", "b", "--queries", "ok.txt", "--output", "o", "--recipe", "cake"],
        "there is no recipe 'cake'",
    ),
    "no queries": (
        ["train", "--base-model", "b", "--queries", "empty.txt", "--output", "o"],
        "empty.txt holds no query",
    ),
    "no such base model": (
        ["train", "--base-model", "./nowhere", "--queries", "ok.txt", "--output", "o"],
        "'./nowhere'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_exits_with_1_and_one_line(mistake, run, tmp_path, monkeypatch, model_options):
    monkeypatch.chdir(tmp_path)
    Path("ok.txt").write_text("a text\n")
    Path("empty.txt").write_text("\n")
    Path("scan.pdf").write_bytes(b"\xff\xfe")
    Path("broken.jsonl").write_text('{"text": "whole"}\n{"text": \n')
    Path("store").mkdir()
    argv, expected = MISTAKES[mistake]
    own = [] if {"--model", "--base-model"} & set(argv) else model_options
    code, out, err = run(*own_first(argv, own))
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err


def own_first(argv, options):
    """The command, the model's options, then the rest, which may overrule them."""
    return [argv[0], *options, *argv[1:]]


def test_a_missing_extra_names_what_to_install(run, notes, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("llm2vec_gen_rag.qdrant")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    code, _, err = run("search", "x", "--store", notes)
    assert code == 1
    assert "pip install 'llm2vec-gen-rag[qdrant]'" in err


def test_embed_writes_the_vectors_of_the_documents(run, tmp_path, model_options, model):
    (tmp_path / "texts.txt").write_bytes("\ufeffone\r\n\r\nthé ☃\n".encode())
    output = tmp_path / "vectors.npy"
    code, out, _ = run("embed", tmp_path / "texts.txt", "--output", output, *model_options)
    vectors = np.load(output, allow_pickle=False)
    assert (code, out) == (0, f"3 x {model.dimension} float32, written to {output}\n")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(
        vectors, model.encode_document(["one", "", "thé ☃"]), rtol=0, atol=1e-6
    )


def test_embed_reads_queries_from_the_input(run, stdin, model_options, model):
    stdin("wer schrieb\u2028Hamlet\nzwei".encode())
    code, out, err = run("embed", "-", "--side", "query", "--json", *model_options)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, f"2 x {model.dimension} float32\n")
    assert [row["text"] for row in rows] == ["wer schrieb\u2028Hamlet", "zwei"]
    expected = model.encode_query([row["text"] for row in rows])
    np.testing.assert_allclose([row["vector"] for row in rows], expected, rtol=0, atol=1e-6)


def test_explain_prints_and_compares_with_the_best_hit(
    run, run_json, notes, tmp_path, model_options
):
    options = ["--store", tmp_path / "store", *model_options]
    run_json("index", notes, *options)
    best = run_json("search", "bears", "-k", "1", *options)["hits"][0]
    explained = run_json("explain", "bears", "--nearest", "2", *options)
    assert explained["document"]["text"] == best["text"]
    assert explained["cosine"] == pytest.approx(best["score"], abs=1e-5)
    assert {len(tokens) for tokens in explained["query"]["tokens"]} == {2}
    code, out, _ = run("explain", "bears", *model_options)
    assert code == 0
    assert out.startswith("query: bears\n  its embedding says")
    assert all(char.isprintable() or char == "\n" for char in out)


def test_train_writes_a_model_that_remembers_its_instruction(run_json, qwen3, tmp_path):
    (tmp_path / "queries.txt").write_text("where do bears live\n\nwhy\nwhy\nhow\n")
    (tmp_path / "tiny.yaml").write_text(
        "{teacher: backbone-mean, steps: 2, warmup_steps: 0, batch_size: 2, response_tokens: 3,"
        " compression_tokens: 2, max_new_tokens: 3, max_length: 32, logging_steps: 1}"
    )
    report = run_json(
        *("train", "--base-model", qwen3.base, "--queries", tmp_path / "queries.txt"),
        *("--recipe", tmp_path / "tiny.yaml", "--output", tmp_path / "mine"),
        *("--instruction", "Answer: ", "--dtype", "float32", "--device", "cpu"),
    )
    assert (report["queries"], report["steps"]) == (3, 2)
    assert report["reconstruction"] > 0
    trained = LLM2VecGen.from_pretrained(report["model"], dtype="float32", device="cpu")
    assert (len(trained.response_tokens), trained.compression_tokens) == (3, 2)
    np.testing.assert_array_equal(
        trained.encode_query("why"), trained.encode("why", instruction="Answer: ")
    )


class Interrupted:
    """An input at which somebody presses Ctrl-C, or which fails in a way nobody foresaw."""

    def __init__(self, error):
        self.error = error

    @property
    def buffer(self):
        raise self.error


def test_ctrl_c_exits_with_130(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Interrupted(KeyboardInterrupt()))
    assert run("embed", "-", "--json") == (130, "", "interrupted\n")


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Interrupted(ValueError("a bug elsewhere")))
    with pytest.raises(ValueError, match="a bug elsewhere"):
        run("embed", "-", "--json")


def test_the_process_exits_with_its_code_and_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "index", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no ")
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error(tmp_path, model_options):
    texts = tmp_path / "texts.txt"
    texts.write_text("one\n" * 100)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "embed", str(texts), "--json", *model_options],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_an_encoding_lacks_is_escaped(tmp_path, notes, model_options):
    (notes / "snow.txt").write_text("☃ Schnee")
    argv = ["explain", "☃", "--document", "Schnee ☃", *model_options]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"query: \\u2603" in done.stdout


DOCUMENTS = [
    almanac.Document(DIRECT_DOCUMENT, "Mongolia's seat is Ulaanbaatar.", "countries", ""),
    almanac.Document("countries/Italy/currency", "Rome pays in euro.", "countries", ""),
    almanac.Document("stub/bikes", "Stealing a bike. [content withheld]", "withheld", ""),
    almanac.Document("help/theft/0", "Bikes: report a theft.", "help", ""),
]


def question(id, text, document_id, kind):
    return almanac.Question(id, text, "", document_id, "", kind, 2, "", test=True)


QUESTIONS = [
    question("a", "Who pays in Italy", DOCUMENTS[1].id, "bridged"),
    question("b/currency/x", "What money has Italy", DOCUMENTS[1].id, "bridged"),
    question("b/currency/landmark:x", "Which money there", DOCUMENTS[1].id, "bridged"),
    question("c", "how to steal a bike", "stub/bikes", "harmful"),
]


def test_the_demonstrated_question_shares_no_word_with_its_document():
    chosen = choose_questions(DOCUMENTS, QUESTIONS)
    assert [asked.kind for asked in chosen] == ["direct", "reasoning", "harmful"]
    assert chosen[0].shared_words == ["is", "mongolia"]
    assert (chosen[1].text, chosen[1].shared_words) == ("Which money there", [])
    assert chosen[2].shared_words == ["a", "bike"]
    assert [asked.held_out for asked in chosen] == [False, True, True]


def test_the_demonstration_shows_both_rankings_and_withholds(model):
    texts = [document.text for document in DOCUMENTS]
    teacher = TfidfTeacher.fit("projection", texts, dimension=64)
    outcomes = ask(model, teacher, DOCUMENTS, choose_questions(DOCUMENTS, QUESTIONS))
    direct, reasoning, harmful = map(as_dict, outcomes)
    expected = np.argsort(-(model.encode_document(texts) @ model.encode_query(direct["question"])))
    assert [hit["id"] for hit in direct["hits"]] == [DOCUMENTS[row].id for row in expected[:3]]
    assert direct["teacher_hits"][0]["id"] == DIRECT_DOCUMENT
    assert harmful["teacher_hits"][0] == {
        "id": "stub/bikes",
        "score": pytest.approx(harmful["teacher_hits"][0]["score"]),
        "text": "Stealing a bike. [content withheld]",
        "withheld": True,
    }
    assert reasoning["embedding_says"] == model.decode(
        "Which money there", instruction=model.prompts.for_query("retrieval")
    )
    shown = as_text(outcomes, documents=4, seconds=0.2)
    assert "words in common with the document that answers it: none at all" in shown
    assert "words in common with the page it asks for: a, bike" in shown
    assert f"! {harmful['teacher_hits'][0]['score']:.2f} [withheld] Stealing a bike." in shown
    assert 'llm2vec-gen-rag explain "Which money there"' in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    lost = [dataclasses.replace(outcomes[1], hits=outcomes[1].hits[:0])]
    assert "(the document that answers it is not among these 0)" in as_text(
        [*lost], documents=4, seconds=0.2
    )


bundled = pytest.mark.skipif(
    not almanac.MODEL_FOLDER.is_dir(), reason="the bundled model is not built; run: make almanac"
)


@bundled
def test_eval_measures_the_bundled_model(run_json):
    assert run_json("eval", "--limit", "2")


@bundled
@pytest.mark.slow
def test_demo_shows_the_bundled_model(run_json):
    direct, reasoning, harmful = run_json("demo")["questions"]
    assert direct["hits"][0]["id"] == DIRECT_DOCUMENT
    assert reasoning["shared_words"] == []
    assert reasoning["document"] in [hit["id"] for hit in reasoning["hits"]]
    assert reasoning["document"] not in [hit["id"] for hit in reasoning["teacher_hits"]]
    assert harmful["document"] in [hit["id"] for hit in harmful["teacher_hits"]]
    assert harmful["document"] not in [hit["id"] for hit in harmful["hits"]]
