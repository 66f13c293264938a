"""A folder of notes, indexed, searched and explained, while its files come and go."""

from __future__ import annotations

import pytest


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
        "bears.md#1": "# Bears\n\nPolar bears live in the Arctic.",
        "money.txt#1": "The yen is the money of Japan.",
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
    assert found()["money.txt#1"] == "The euro is the money of France."
    for file in notes.iterdir():
        file.unlink()
    code, out, err = run("index", notes, *options)
    assert (code, out) == (1, "")
    assert "the 2 that the collection holds from it would be removed" in err
    assert len(found()) == 2
    assert run_json("index", notes, "--allow-empty", *options)["removed"] == 2
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
    assert "money.txt#1" in [hit["id"] for hit in worded[:2]]
    by_words = run_json("search", "yen", "--hybrid", "--weight", "0", *options)["hits"]
    assert (by_words[0]["id"], by_words[0]["score"]) == ("money.txt#1", pytest.approx(1))
    code, _, err = run("search", "yen", "--hybrid", "--weight", "2", *options)
    assert (code, "weight is 2.0; expected a number from 0" in err) == (1, True)
    code, _, err = run("search", "yen", "--weight", "0.5", *options)
    assert (code, "--weight 0.5 came without --hybrid" in err) == (1, True)
    code, out, _ = run("search", "the capital", "-k", "1", *options)
    assert (code, out.split()[:3]) == (0, ["1", f"{hits[0]['score']:.3f}", hits[0]["id"]])


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
