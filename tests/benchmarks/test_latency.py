"""One query is timed by both encoders in turn, and answered apart from that."""

from __future__ import annotations

from types import SimpleNamespace

from benchmarks.real_texts.latency import measure_latency


def readers(calls):
    model = SimpleNamespace(
        encode_query=lambda query: calls.append(("ours", query)),
        answer=lambda query, **_: calls.append(("answer", query)) or "an answer",
    )
    teacher = SimpleNamespace(embed=lambda texts: calls.append(("teacher", *texts)))
    return SimpleNamespace(model=model, teacher=teacher)


def test_both_encoders_embed_each_query_in_turn_before_any_answer_is_written():
    calls = []
    found = measure_latency(readers(calls), ["a", "b"])
    embedded = [(way, query) for query in "ab" for way in ("ours", "teacher")]
    answered = [each for query in "ab" for each in (("answer", query), ("teacher", "an answer"))]
    assert calls == embedded + answered
    assert set(found["milliseconds"]) == {"ours", "teacher", "hyde"}
