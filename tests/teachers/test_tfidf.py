"""TF-IDF teachers: what they compute, and that a saved one is the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher, words_of

TOPICS = ["the euro is the money of", "people speak the language of", "a river flows through"]
PLACES = ["France", "New Zealand", "New Mexico", "Kenya", "Peru", "Japan", "Chad", "Oman"]
TEXTS = [f"{topic} {place}" for topic in TOPICS for place in PLACES]


@pytest.fixture(scope="module", params=["svd", "projection"])
def teacher(request):
    return TfidfTeacher.fit(request.param, TEXTS, dimension=12)


def test_tfidf_without_projection_is_that_of_scikit_learn():
    """With as many dimensions as terms the SVD would be a rotation: compare the cosines."""
    reference = TfidfVectorizer(analyzer=words_of, sublinear_tf=True).fit(TEXTS)
    columns = len(reference.vocabulary_)
    ours = TfidfTeacher(
        kind="svd",
        vocabulary={term: int(row) for term, row in reference.vocabulary_.items()},
        idf=reference.idf_.astype(np.float32),
        components=np.eye(columns, dtype=np.float32),
    )
    texts = [*TEXTS, "the the the euro of France"]
    np.testing.assert_allclose(
        ours.embed(texts), reference.transform(texts).toarray(), rtol=1e-5, atol=1e-6
    )


def test_vectors_have_length_one_and_the_stated_dimension(teacher):
    vectors = teacher.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), teacher.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_texts_that_share_words_are_closer(teacher):
    money, same_money, river = teacher.embed([TEXTS[0], TEXTS[3], TEXTS[20]])
    assert money @ same_money > money @ river + 0.2


def test_a_projection_keeps_names_apart_that_an_svd_of_the_same_size_confuses():
    common = [f"topic{topic} of place{place}" for topic in range(20) for place in range(20)]
    rare = ["topic1 of Andorra", "topic1 of Bhutan"]
    cosine = {}
    for kind in ("svd", "projection"):
        first, second = TfidfTeacher.fit(kind, common + rare, dimension=32).embed(rare)
        cosine[kind] = float(first @ second)
    assert cosine["svd"] > 0.95
    assert cosine["projection"] < 0.8


def test_an_unknown_kind_is_reported():
    with pytest.raises(ValueError, match="'pca'; expected one of projection, svd"):
        TfidfTeacher.fit("pca", TEXTS)


def test_a_text_without_known_words_has_no_direction(teacher):
    assert not teacher.embed(["", "xylophone", "\ud800"]).any()
    assert teacher.embed([]).shape == (0, teacher.dimension)


def test_fitting_is_deterministic(teacher):
    again = TfidfTeacher.fit(teacher.kind, TEXTS, dimension=12)
    np.testing.assert_array_equal(again.embed(TEXTS), teacher.embed(TEXTS))


def test_a_saved_teacher_embeds_the_same(teacher, tmp_path):
    teacher.save(tmp_path)
    np.testing.assert_array_equal(TfidfTeacher.load(tmp_path).embed(TEXTS), teacher.embed(TEXTS))


def test_a_saved_teacher_loads_without_scikit_learn_or_torch(teacher, tmp_path):
    teacher.save(tmp_path)
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['sklearn', 'scipy', 'torch']))\n"
        "from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher\n"
        "print(TfidfTeacher.load(sys.argv[1]).embed(['the euro']).shape)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.stdout == "(1, 12)\n", run.stderr


def test_only_the_most_frequent_words_are_kept():
    teacher = TfidfTeacher.fit("svd", TEXTS, dimension=4, max_words=8)
    assert len(teacher.vocabulary) == 8
    assert "the" in teacher.vocabulary


@pytest.mark.parametrize(
    ("texts", "message"),
    [([], "0 texts"), (["", "  "], "none of the 2 texts"), (TEXTS[:5], "5 texts with")],
)
def test_too_little_to_fit_on_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        TfidfTeacher.fit("svd", texts, dimension=12)


@pytest.mark.parametrize("damage", ["absent", "half-written", "of another teacher"])
def test_a_broken_teacher_folder_is_reported(teacher, tmp_path, damage):
    teacher.save(tmp_path)
    weights = tmp_path / "teacher.safetensors"
    if damage == "absent":
        weights.unlink()
    elif damage == "half-written":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        TfidfTeacher.fit("svd", TEXTS, dimension=4, max_words=8).save(tmp_path / "other")
        (tmp_path / "other" / weights.name).replace(weights)
    with pytest.raises(ValueError, match=str(tmp_path)):
        TfidfTeacher.load(tmp_path)


def test_equal_fingerprints_are_equal_vectors(teacher, tmp_path):
    teacher.save(tmp_path)
    assert TfidfTeacher.load(tmp_path).fingerprint == teacher.fingerprint
    others = [
        TfidfTeacher.fit(teacher.kind, TEXTS, dimension=12, seed=7),
        TfidfTeacher.fit(teacher.kind, [*TEXTS, "one more"], dimension=12),
    ]
    assert teacher.fingerprint not in {other.fingerprint for other in others}
