"""Explanations as a picture and as HTML."""

from __future__ import annotations

import io
import sys
import warnings
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from llm2vec_gen_rag import errors
from llm2vec_gen_rag.explain import Explanation, LikelyToken, Reading, ScoreSplit, explain

# markup, a formula, controls, white space, and text written from right to left
HOSTILE = '<script>alert("&")</script> $\\frac{1}$ $5 and $6\x1b[31m\u202eשלום\n'
TOKENS = ((LikelyToken("<b>", 0.5, 2.0), LikelyToken("$x_", 0.1, 1e9)),
          (LikelyToken("\n", 0.2, 3.0), LikelyToken("  ", 0.01, 0.5)))  # fmt: skip


@pytest.fixture
def hostile():
    reading = Reading(HOSTILE, HOSTILE, TOKENS)
    split = ScoreSplit(((0.5, -0.25), (0.25, 0.0)))
    return Explanation(reading, HOSTILE, reading, 0.5, split, search_score=0.5)


def drawn(explanation):
    """The texts of the figure, which is drawn without a warning."""
    figure = explanation.plot()
    assert isinstance(figure, Figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=40)
    assert picture.getvalue().startswith(b"\x89PNG")
    (panel,) = figure.axes
    labels = [*panel.get_yticklabels(), *panel.get_xticklabels(), *panel.texts, panel.title]
    return [figure.get_suptitle(), *(text.get_text() for text in labels)]


def test_the_picture_shows_the_split_of_the_score(model):
    explanation = explain(model, "where do polar bears live", "On the ice.", max_new_tokens=4)
    texts = "\n".join(drawn(explanation))
    for cell in (cell for row in explanation.split.cells for cell in row):
        assert f"{cell:.3f}" in texts
    for share in (*explanation.split.by_query_token, *explanation.split.by_document_token):
        assert f"  {share:.3f}" in texts
    assert "query: where do polar bears live" in texts
    assert f"cosine {explanation.cosine:.4f}" in texts


def test_the_picture_of_a_query_alone_shows_its_tokens():
    texts = drawn(Explanation(Reading("where", "there", TOKENS), "there"))
    assert "<b>\n50% x2" in texts
    assert "⏎\n20% x3" in texts


def test_no_text_is_a_formula(hostile):
    assert "$5 and $6" in "\n".join(drawn(hostile))


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.names, self.text = [], set(), ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        assert {name for name, _ in attrs} <= {"style", "open"}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_html_is_well_formed_and_escapes_everything(hostile):
    read = Elements(hostile._repr_html_())
    assert read.open == []
    assert not read.names & {"script", "b<", "style"}
    assert read.text.count('<script>alert("&")</script>') == 5
    assert "<b> 50% x2" in read.text
    assert "Cosine of the two embeddings: 0.5000 (the search gave 0.5000)" in read.text


def test_the_html_of_a_query_alone_has_no_document(model):
    read = Elements(explain(model, "", nearest=1, max_new_tokens=1)._repr_html_())
    assert "Document" not in read.text
    assert "Cosine" not in read.text


def test_without_matplotlib_the_extra_is_named(hostile, monkeypatch):
    monkeypatch.delitem(sys.modules, "llm2vec_gen_rag.explain.heat_map", raising=False)
    monkeypatch.setattr(errors, "find_spec", lambda module: None)
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'llm2vec-gen-rag\[explain\]'"):
        hostile.plot()
