"""A folder that was indexed may move, be emptied, be indexed in parts, and lose files."""

from __future__ import annotations

import shutil

import pytest

COUNTS = ("added", "replaced", "unchanged", "removed")


@pytest.fixture
def index(run_json, tmp_path, model_options):
    """Index a path; returns documents added, replaced, unchanged and removed."""

    def run_index(*argv):
        report = run_json("index", *argv, "--store", tmp_path / "store", *model_options)
        return [report[name] for name in COUNTS]

    return run_index


@pytest.fixture
def found(run_json, tmp_path, model_options):
    """The texts of all documents that are found, by their ids."""

    def search(*argv):
        options = ["-k", 99, "--store", tmp_path / "store", *model_options]
        hits = run_json("search", "x", *options, *argv)["hits"]
        texts = {}
        for hit in hits:
            texts.setdefault(hit["id"], []).append(hit["text"])
        return {name: sorted(same) for name, same in texts.items()}

    return search


@pytest.fixture
def refused(run, tmp_path, model_options):
    """Run `index`, which is refused; returns the error."""

    def run_index(*argv):
        code, out, err = run("index", *argv, "--store", tmp_path / "store", *model_options)
        assert (code, out) == (1, "")
        return err

    return run_index


@pytest.fixture
def folder(tmp_path):
    """A folder with a file in it and another in its folder."""
    folder = tmp_path / "trips"
    (folder / "deep").mkdir(parents=True)
    (folder / "trip.md").write_text("To Kyoto.")
    (folder / "deep" / "a.md").write_text("To Bergen.")
    return folder


WHOLE = {"trip.md#1": ["To Kyoto."], "deep/a.md#1": ["To Bergen."]}


@pytest.mark.parametrize("part", ["deep/a.md", "deep"])
def test_a_part_of_a_folder_is_a_part_of_its_source(index, found, folder, part):
    assert index(folder) == [2, 0, 0, 0]
    assert index(folder / part) == [0, 0, 1, 0]
    assert index(folder) == [0, 0, 2, 0]
    assert found() == WHOLE
    (folder / "deep" / "a.md").unlink()
    assert index(folder) == [0, 0, 1, 1]
    assert found() == {"trip.md#1": ["To Kyoto."]}


@pytest.mark.parametrize("part", ["deep/a.md", "deep", "trip.md"])
def test_a_folder_takes_over_the_parts_that_were_indexed_before(index, found, folder, part):
    index(folder / part)
    index(folder)
    assert found() == WHOLE
    assert index(folder) == [0, 0, 2, 0]
    (folder / "deep" / "a.md").unlink()
    assert index(folder) == [0, 0, 1, 1]
    assert found() == {"trip.md#1": ["To Kyoto."]}


@pytest.mark.parametrize("name", ["trip.md", "deep/a.md"])
def test_a_file_is_filtered_by_the_name_that_a_person_types(index, found, folder, name):
    index(folder)
    assert list(found("--filter", f"file={name}")) == [f"{name}#1"]


def test_a_folder_that_moves_is_not_indexed_twice(
    index, found, run, tmp_path, model_options, folder
):
    index(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    options = ["--store", tmp_path / "store", *model_options]
    code, _, err = run("index", moved, *options)
    assert code == 0
    assert f"also held by {folder}, which is not there" in err
    assert found() == WHOLE
    assert index(moved) == [0, 0, 2, 0]
    assert index(folder, "--remove") == [0, 0, 0, 0]
    assert found() == WHOLE
    (moved / "trip.md").unlink()
    assert index(moved) == [0, 0, 1, 1]
    assert found() == {"deep/a.md#1": ["To Bergen."]}


def test_two_folders_with_a_file_of_one_name_keep_both(index, found, tmp_path, folder):
    other = tmp_path / "other"
    other.mkdir()
    (other / "trip.md").write_text("To Oslo.")
    for path, report in [(folder, [2, 0, 0, 0]), (other, [1, 0, 0, 0])]:
        assert index(path) == report
    assert found()["trip.md#1"] == ["To Kyoto.", "To Oslo."]
    assert index(folder) == [0, 0, 2, 0]
    assert index(other) == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{"id": "1", "text": "one"}', '{"id": "1", "text": "one"}'),
        ('{"id": "1", "text": "one"}', '{"id": "1", "text": "two"}'),
        ('{"text": "one"}', '{"text": "one"}'),
        ('{"text": "one"}', '{"text": "one", "lang": "en"}'),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_two_files_with_one_id_or_text_settle_and_each_holds_its_own(
    index, found, tmp_path, first, second, together
):
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "a.jsonl").write_text(first)
    (rows / "b.jsonl").write_text(second + '\n{"text": "stays"}')
    paths = [rows] if together else [rows / "a.jsonl", rows / "b.jsonl"]
    for path in paths:
        index(path)
    before = found()
    for path in paths:
        assert index(path)[:2] == [0, 0]
    assert found() == before
    (rows / "b.jsonl").write_text('{"text": "stays"}')
    for path in paths:
        index(path)
    assert sorted(text for texts in found().values() for text in texts) == ["one", "stays"]


@pytest.mark.parametrize("gone", ["trips", "trips/deep", "trips/deep/a.md"])
def test_a_source_that_is_gone_can_be_removed(index, found, refused, tmp_path, folder, gone):
    index(folder)
    kept = {} if gone == "trips" else {"trip.md#1": ["To Kyoto."]}
    path = tmp_path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert index(path, "--remove") == [0, 0, 0, 2 - len(kept)]
    assert found() == kept
    assert "holds nothing from" in refused(path, "--remove")


def test_removing_what_was_never_there_names_the_sources(index, refused, tmp_path, folder):
    index(folder)
    assert f"its sources ({folder})" in refused(tmp_path / "tripps", "--remove")


@pytest.mark.parametrize("left", [None, "picture.png", "empty.md"])
@pytest.mark.parametrize("path", [".", "deep", "trip.md"])
def test_what_is_emptied_is_refused_unless_that_is_allowed(
    index, found, refused, folder, left, path
):
    index(folder)
    for file in [*folder.rglob("*.md")]:
        file.unlink()
    if path == "trip.md":
        (folder / path).write_text("")
    if left:
        (folder / left).write_text("")
    number = 2 if path == "." else 1
    assert f"the {number} that the collection holds from it would be removed" in refused(
        folder / path
    )
    assert found() == WHOLE
    assert index(folder / path, "--allow-empty") == [0, 0, 0, number]


def test_a_folder_of_another_source_in_python_is_left_alone(index, found, tmp_path, model, folder):
    from llm2vec_gen_rag.qdrant import Document, DocumentCollection

    with DocumentCollection.open(tmp_path / "store", "documents", model) as collection:
        collection.sync([Document("A scan.", id="scan")], source=f"{folder}/scan.pdf")
    index(folder)
    assert found() == {"scan": ["A scan."], **WHOLE}
    assert index(f"{folder}/scan.pdf", "--remove") == [0, 0, 0, 1]


@pytest.fixture
def aside(folder, tmp_path):
    """A folder with a hidden folder and links to a folder and a file elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    for path in (elsewhere, folder / ".priv"):
        path.mkdir()
        (path / "b.md").write_text(f"From {path.name}.")
    (folder / "link").symlink_to(elsewhere)
    (folder / "link.md").symlink_to(elsewhere / "b.md")
    return folder


ASIDE = [".priv", ".priv/b.md", "link", "link/b.md", "link.md"]


@pytest.mark.parametrize("first", ["part", "folder"])
@pytest.mark.parametrize("part", ASIDE)
def test_what_was_named_itself_stays_when_the_folder_around_it_is_indexed(
    index, found, aside, part, first
):
    for path in [aside / part, aside] if first == "part" else [aside, aside / part]:
        index(path)
    index(aside / part)  # which may become a part of the folder's source
    everything = found()
    assert len(everything) == len(WHOLE) + 1
    for _ in range(2):
        assert index(aside) == [0, 0, 2, 0]
        assert index(aside / part) == [0, 0, 1, 0]
        assert found() == everything
    (aside / part / "b.md" if (aside / part).is_dir() else aside / part).unlink()
    assert index(aside) == [0, 0, 2, 1]
    assert found() == WHOLE


@pytest.mark.parametrize("part", ASIDE)
def test_what_was_named_itself_is_removed_by_its_name(index, found, aside, part):
    index(aside)
    index(aside / part)
    assert index(aside / part, "--remove") == [0, 0, 0, 1]
    assert found() == WHOLE


def test_what_lies_behind_links_stays_when_they_are_followed_no_longer(index, found, aside):
    assert index(aside, "--follow-links")[0] == 4
    everything = found()
    assert index(aside) == [0, 0, 2, 0]
    (aside / "trip.md").unlink()
    assert index(aside) == [0, 0, 1, 1]
    assert index(aside, "--follow-links") == [0, 0, 3, 0]
    del everything["trip.md#1"]
    assert found() == everything
    (aside / "link").unlink()
    assert index(aside) == [0, 0, 1, 1]


def test_what_lies_behind_a_link_to_an_unmounted_drive_stays(index, found, aside, tmp_path):
    index(aside, "--follow-links")
    everything = found()
    (tmp_path / "elsewhere").rename(tmp_path / "unmounted")
    for flags in ([], ["--follow-links"]):
        assert index(aside, *flags) == [0, 0, 2, 0]
    assert found() == everything


def test_a_folder_of_which_only_what_is_passed_over_is_left_is_no_error(index, found, aside):
    index(aside)
    index(aside / ".priv")
    for file in (aside / "trip.md", aside / "deep" / "a.md"):
        file.unlink()
    assert index(aside, "--allow-empty") == [0, 0, 0, 2]
    assert index(aside) == [0, 0, 0, 0]
    assert len(found()) == 1


def test_a_file_that_is_hidden_by_a_new_name_goes(index, found, folder):
    index(folder)
    (folder / "trip.md").rename(folder / ".trip.md")
    assert index(folder) == [0, 0, 1, 1]
    assert list(found()) == ["deep/a.md#1"]
