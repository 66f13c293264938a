"""A policy file that is not as described is an error that says where, before anything is asked."""

from __future__ import annotations

import pytest
import yaml

from llm2vec_gen_rag.training.responses.policy_file import load_policy

GOOD = {"name": "weapons", "answer": "No.", "examples": ["sell me a gun"]}


@pytest.fixture
def refused(tmp_path):
    """Say why a policy of this content, or of these categories, is refused."""
    path = tmp_path / "policy.yaml"

    def why(content):
        if isinstance(content, list):
            content = yaml.safe_dump({"categories": content}).encode()
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"policy\.yaml") as error:
            load_policy(path)
        return str(error.value)

    return why


def without(key):
    return {name: value for name, value in GOOD.items() if name != key}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"categories: [", "line 1"),
        (b"\xff\xfe\xfa", "is not readable as YAML"),
        ("categories: [größe]".encode("latin-1"), "position 15"),
        (b"x: 2024-13-45", "is not readable as YAML"),
        (b"x: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (b"[" * 5000, "is not readable as YAML"),
        (b"", "holds None; expected `categories:`"),
        (b"- weapons", "expected `categories:`"),
        (b"categories: weapons", "expected `categories:`"),
        (b"categories: []", "has no categories"),
        (b"categories: []\nname: mine", "unknown key 'name'"),
        (b"categories:\n- answer: No.\n  answer: Yes.\n", "found the key 'answer' twice"),
    ],
)
def test_a_file_that_is_no_policy_is_reported(refused, content, said):
    assert said in refused(content)


@pytest.mark.parametrize(
    ("category", "said"),
    [
        ("weapons", "category 1 is 'weapons'"),
        (without("name"), "category 1 has no name"),
        ({**GOOD, "name": 3}, "category 1 has 3 for its name"),
        (without("answer"), "category 'weapons' has no answer"),
        ({**GOOD, "answer": " "}, "category 'weapons' has ' ' for its answer"),
        ({**GOOD, "answer": ["No."]}, "category 'weapons' has ['No.'] for its answer"),
        (without("examples"), "category 'weapons' has no examples"),
        ({**GOOD, "examples": []}, "category 'weapons' has no examples"),
        ({**GOOD, "examples": "a"}, "has 'a' for examples; expected a list"),
        ({**GOOD, "examples": None}, "has None for examples; expected a list"),
        ({**GOOD, "examples": ["a", " "]}, "category 'weapons', examples 2 is ' '"),
        ({**GOOD, "examples": ["a", True]}, "category 'weapons', examples 2 is True"),
        ({**GOOD, "benign": [""]}, "category 'weapons', benign 1 is ''"),
        ({**GOOD, "exmaples": ["a"]}, "unknown key 'exmaples'; did you mean 'examples'?"),
        ({**GOOD, 3: "a"}, "unknown key 3"),
    ],
)
def test_a_category_that_is_not_whole_is_reported_by_its_name(refused, category, said):
    assert said in refused([category])


def test_a_prompt_that_stands_twice_is_reported_with_both_its_places(refused):
    other = {"name": "theft", "answer": "Never.", "examples": ["steal it"]}
    twice = {**other, "examples": ["steal it", "sell me a gun"]}
    said = refused([GOOD, twice])
    assert "has the prompt 'sell me a gun' twice" in said
    assert "examples of 'weapons' and among the examples of 'theft'" in said
    said = refused([GOOD, {**other, "benign": ["sell me a gun"]}])
    assert "examples of 'weapons' and among the benign prompts of 'theft'" in said
    assert "two categories 'weapons'" in refused([GOOD, {**other, "name": "weapons"}])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.txt", None, "there is no file"),
        ("empty.txt", b"", "empty.txt holds no queries"),
        ("blank.txt", b"a\n\nb\n", "blank.txt, line 2 is ''"),
        ("latin.txt", "größe".encode("latin-1"), "is not UTF-8 at byte 2"),
        ("rows.jsonl", b'{"query": "a"}\n{"prompt": "b"}\n', "rows.jsonl, line 2 has no 'query'"),
        ("rows.csv", b"query\na\n", "expected a .txt file"),
        ("../outside.txt", b"a\n", "leads out of"),
        ("/etc/hostname", None, "leads out of"),
        ("link.txt", "link", "leads out of"),
        ("folder.txt", "folder", "expected a .txt file"),
        (7, None, "has 7 for its examples_file"),
    ],
)
def test_a_file_of_examples_that_cannot_be_read_is_reported(tmp_path, name, content, said):
    folder = tmp_path / "policies"
    folder.mkdir()
    if content == "link":
        (tmp_path / "outside.txt").write_text("a\n")
        (folder / name).symlink_to(tmp_path / "outside.txt")
    elif content == "folder":
        (folder / name).mkdir()
    elif content is not None:
        (folder / name).write_bytes(content)
    row = {**without("examples"), "examples_file": name}
    (folder / "policy.yaml").write_text(yaml.safe_dump({"categories": [row]}))
    with pytest.raises(ValueError, match=r"policy\.yaml, category 'weapons'") as error:
        load_policy(folder / "policy.yaml")
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["defualt", "mine.txt", "mine.yaml"])
def test_a_policy_that_is_nowhere_is_reported(name):
    with pytest.raises(ValueError, match=rf"there is no policy (file )?'?{name}"):
        load_policy(name)
