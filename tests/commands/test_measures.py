"""`eval NAME`: figures as a table, and in a file with what made them."""

from __future__ import annotations

import json

import pytest
from retrieval_folder import write_folder, write_rows

from llm2vec_gen_rag import encoder
from llm2vec_gen_rag.cli import build_parser

MEASURES = {
    "mteb": [],
    "bright": [],
    "advbench-ir": ["--data", "x"],
    "beir": ["x"],
    "refusals": ["--data", "x"],
}


@pytest.mark.parametrize("measure", MEASURES)
def test_the_model_s_options_may_precede_or_follow_the_benchmark_s_name(measure):
    rest = MEASURES[measure]
    parse = build_parser().parse_args
    assert parse(["eval", measure, *rest]).model == "almanac"
    assert parse(["eval", "--model", "mine", measure, *rest]).model == "mine"
    assert parse(["eval", measure, *rest, "--model", "mine"]).model == "mine"
    assert parse(["eval", "--device", "cpu", measure, *rest]).device == "cpu"
    assert parse(["eval", measure, *rest]).device is None


@pytest.mark.parametrize("option", [["--limit", "3"], ["--json"]])
def test_the_almanac_s_options_are_refused_before_a_benchmark_s_name(run, option):
    code, out, err = run("eval", *option, "advbench-ir", "--data", "nowhere")
    assert (code, out) == (1, "")
    assert "must come after the benchmark's name: `eval advbench-ir ... --json FILE`" in err


def test_beir_prints_a_table_and_writes_what_made_it(run, tmp_path, model_options):
    pytest.importorskip("mteb", reason="the extra eval brings it")
    folder, file = write_folder(tmp_path / "tiny"), tmp_path / "figures.json"
    code, out, err = run("eval", "beir", folder, *model_options, "--json", file)
    assert code == 0, err
    content = json.loads(file.read_text(encoding="utf-8"))
    (figures,) = content["figures"]["folders"]
    assert f"| tiny | 4 | 2 | {figures['scores']['ndcg_at_10']:.3f} | " in out
    assert content["made_by"]["command"].startswith("llm2vec-gen-rag eval beir ")
    assert "· nothing random ·" in out
    again = tmp_path / "again.json"
    run("eval", "beir", folder, *model_options, "--json", again)
    assert again.read_text().replace("again.json", "figures.json") == file.read_text()


def test_advbench_ir_runs_on_a_folder(run, tmp_path, model_options):
    write_rows(tmp_path / "harmful.jsonl", [{"query": "a", "title": "A", "document": "[withheld]"}])
    write_rows(tmp_path / "wikipedia.jsonl", [{"title": "B", "passage": "bears"}])
    code, out, err = run("eval", "advbench-ir", "--data", tmp_path, *model_options)
    assert code == 0, err
    assert "| own passage in top 5 | 100.0 | – | – |" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["advbench-ir", "--data", "nowhere"], "there is no nowhere"),
        (["refusals", "--data", "nowhere"], "there is no nowhere"),
        (["advbench-ir", "--data", "x", "--json", "no/such/file.json"], "there is no folder"),
        (["advbench-ir", "--data", "x", "--json", "."], "--json . is a folder"),
    ],
)
def test_what_is_not_there_is_reported_in_one_line(run, arguments, message):
    code, out, err = run("eval", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_mistaken_names_are_reported_before_the_model_is_loaded(run):
    pytest.importorskip("mteb", reason="the extra eval brings it")
    code, _, err = run("eval", "mteb", "--tasks", "BIOSSESSTS17", "--model", "nowhere")
    assert code == 1
    assert "'BIOSSESSTS17' is no task" in err
    code, _, err = run("eval", "bright", "--domains", "biology,botany", "--model", "nowhere")
    assert code == 1
    assert "'botany' is no set of BRIGHT" in err


def test_beir_fits_the_weight_of_hybrid_search_and_embeds_each_text_once(
    run, tmp_path, model_options, monkeypatch
):
    embedded, embed = [], encoder.embed

    def counted(model, texts, **options):
        embedded.append(len(texts.rows))
        return embed(model, texts, **options)

    monkeypatch.setattr(encoder, "embed", counted)
    folder, file = tmp_path / "tiny", tmp_path / "tuned.json"
    folder.mkdir()
    rows = [{"_id": f"d{i}", "text": f"Part QX-{i} of the list."} for i in range(12)]
    asked = [{"_id": f"q{i}", "text": f"Where is QX-{i}?"} for i in range(12)]
    for name, each in (("corpus", rows), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each))
    (folder / "qrels.tsv").write_text("".join(f"q{i}\td{i}\t1\n" for i in range(12)))
    code, out, _ = run("eval", "beir", folder, "--tune-hybrid", *model_options, "--json", file)
    (figures,) = json.loads(file.read_text())["figures"]["folders"]
    assert (code, figures["words"]["mean"], figures["hybrid"]["mean"]) == (0, 1, 1)
    assert f"search --hybrid --weight {figures['weight']:g}" in out
    assert sum(embedded) == len(rows) + len(asked)


def test_beir_compares_with_what_a_user_could_take_instead(run, tmp_path, model_options):
    folder, file = write_folder(tmp_path / "tiny"), tmp_path / "compared.json"
    code, out, _ = run("eval", "beir", folder, "--compare", *model_options, "--json", file)
    (figures,) = json.loads(file.read_text())["figures"]["folders"]
    assert (code, figures["figures"]["BM25"]["mean"]) == (0, 1)
    assert "| the LLM's states, whitened | " in out
    code, _, err = run("eval", "beir", folder, "--encoder", "some/model", *model_options)
    assert (code, "--encoder some/model is read with --compare only" in err) == (1, True)
