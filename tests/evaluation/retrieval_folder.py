"""A retrieval set of four documents in the BEIR layout, written for tests."""

from __future__ import annotations

import json

DOCUMENTS = {
    "oslo": ("Norway", "Oslo is the capital of Norway."),
    "yen": ("Japan", "The yen is the money of Japan."),
    "bear": ("", "Polar bears live in the Arctic."),
    "cat": ("", "A cat sleeps most of the day."),
}
QUERIES = {"q1": "What is the capital of Norway?", "q2": "Which money is used in Japan?"}
QRELS = "query-id\tcorpus-id\tscore\nq1\toslo\t1\nq2\tyen\t2\nq2\tcat\t0\n"


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_folder(folder, *, queries="queries.jsonl", qrels="qrels.tsv", qrels_text=QRELS):
    folder.mkdir(exist_ok=True)
    write_rows(
        folder / "corpus.jsonl",
        [{"_id": id, "title": title, "text": text} for id, (title, text) in DOCUMENTS.items()],
    )
    write_rows(folder / queries, [{"_id": id, "text": text} for id, text in QUERIES.items()])
    (folder / qrels).parent.mkdir(exist_ok=True)
    (folder / qrels).write_text(qrels_text, encoding="utf-8")
    return folder
