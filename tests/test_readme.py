"""What the README shows is run here, and its numbers are those of the model card."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from installed_smollm2 import needs_smollm2
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient, models
from retrieval_folder import write_folder

from benchmarks.real_texts.goals import best_whitened, ndcg_of
from benchmarks.real_texts.intervals import ratio_over_sets
from benchmarks.report import RESULTS, read_results
from llm2vec_gen_rag import almanac, smollm2
from llm2vec_gen_rag.cli import main
from llm2vec_gen_rag.commands import demo_pages
from llm2vec_gen_rag.evaluation.paper_figures import published_figures

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"^\$ (.*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
OURS = [command for command in COMMANDS if command.startswith("llm2vec-gen-rag ")]
TAKES_LONG = {"llm2vec-gen-rag demo": [], "llm2vec-gen-rag eval": ["--limit", "3"]}
# their default model is smollm2
ON_SMOLLM2 = [
    command
    for command in OURS
    if command.split()[1] in ("index", "search", "list", "delete", "dump", "explain")
    and "--model" not in command
]


def printed_by(snippet):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(snippet, "README.md", "exec"), {})
    return printed.getvalue().strip()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("\n")[0][:40])
def test_every_snippet_runs_and_prints_what_it_says(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where one writes a file
    promised = re.findall(r"print\(.*\)\s+# (.*)$", snippet, flags=re.MULTILINE)
    printed = printed_by(snippet)
    assert printed
    assert printed.split("\n")[: len(promised)] == promised


@pytest.mark.parametrize(
    ("framework", "answer"),
    [("langchain_core", "Japan pays with the Japanese yen."),
     ("llama_index.core", "Japan pays with the Japanese yen.")],
)  # fmt: skip
def test_the_frameworks_find_the_document_that_answers(framework, answer):
    snippet = next(text for text in SNIPPETS if text.startswith(f"from {framework}"))
    assert printed_by(snippet) == answer


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What git tracks, in a folder of its own, with the files that a user brings; and what ran."""
    folder = tmp_path_factory.mktemp("clone")
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    (folder / "queries.txt").write_text("what is iron used for\nwhere is Peru\nwho made Ulysses\n")
    write_folder(folder / "my-benchmark")
    write_collection_of_another_model(folder)
    for kind, words in {"harmful": "how do I poison pet", "benign": "where is town"}.items():
        (folder / f"{kind}.txt").write_text("".join(f"{words} {n}\n" for n in range(100)))
    for page in (folder / "docs").rglob("*.md"):  # smollm2 reads some 50 tokens a second at worst
        page.write_text(page.read_text(encoding="utf-8")[:1000], encoding="utf-8")
    return folder, {}


def write_collection_of_another_model(folder):
    """A collection of LangChain's store, and a query with its vector by the same embeddings."""
    old, client = DeterministicFakeEmbedding(size=6), QdrantClient(path=str(folder / "kb-store"))
    vectors = models.VectorParams(size=6, distance=models.Distance.COSINE)
    client.create_collection("kb", vectors_config=vectors)
    QdrantVectorStore(client, "kb", old).add_texts(["The yen is money.", "A cat sleeps."])
    client.close()
    asked = {"query": "what is money?", "vector": old.embed_query("what is money?")}
    (folder / "asked.jsonl").write_text(json.dumps(asked) + "\n")


def marks_of(command):
    slow = [pytest.mark.slow] * (command in [*TAKES_LONG, *ON_SMOLLM2])
    return slow + [needs_smollm2] * (command in ON_SMOLLM2)


@pytest.mark.usefixtures("forked_workers", "almanac_embedded_once", "bundled_loaded_once")
@pytest.mark.parametrize(
    "command", [pytest.param(command, marks=marks_of(command)) for command in OURS]
)
def test_every_command_runs_in_a_clone_after_those_above_it(command, clone, monkeypatch):
    folder, printed_by_command = clone
    monkeypatch.chdir(folder)
    monkeypatch.setattr(demo_pages, "PAGES", ("CONTRIBUTING.md",))
    left_out = [*TAKES_LONG, *([] if command in ON_SMOLLM2 else ON_SMOLLM2)]
    above = [each for each in OURS[: OURS.index(command)] if each not in left_out]
    for each in [*above, command]:  # what takes long leaves no file for those below
        if each not in printed_by_command:
            printed_by_command[each] = printed_by_command_line(each, folder)
    assert printed_by_command[command]


def printed_by_command_line(command, folder):
    arguments = shlex.split(command)[1:]
    if "train" in arguments:
        arguments = _at_miniature_size(arguments, folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if arguments == ["--help"]:
            with pytest.raises(SystemExit, match="0"):
                main(arguments)
        else:
            assert main(arguments + TAKES_LONG.get(command, [])) == 0, command
    return printed.getvalue().strip()


def _at_miniature_size(arguments, folder):
    """The almanac's own language model as MY_LLM, and a recipe of three steps."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        "response_tokens: 2\ncompression_tokens: 2\nsteps: 3\nwarmup_steps: 1\nbatch_size: 2\n"
        "teacher: tfidf-projection\nteacher_dimension: 4\nmax_new_tokens: 8\n"
    )
    replaced = {"MY_LLM": str(almanac.MODEL_FOLDER / "base"), "almanac": str(recipe)}
    return [replaced.get(argument, argument) for argument in arguments]


def test_the_make_targets_exist_and_ci_runs_them():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)[1]
    words = [word for line in recipe.splitlines() for word in line.split()[1:]]
    checked = [word for word in words if not word.startswith("-")]
    assert "make check\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    targets = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert {"demo", "test"} <= targets <= set(checked)
    assert all(f"\n{target}:" in makefile for target in checked)


def test_the_figures_are_the_measured_ones():
    measured = json.loads((almanac.FOLDER / "figures.json").read_text(encoding="utf-8"))
    groups = {group["name"]: group for group in measured["groups"]}
    reasoning, harmful, benign = measured["reasoning"], groups["harmful"], groups["benign"]
    ratios = [
        *over_processors("encode.0.6b", ".2f", "documents", "ratio_to_sorted"),
        *over_processors("encode.0.6b", ".2f", "queries", "ratio_to_sorted"),
        *over_processors("decode.0.6b", ".1f", "ratio"),
    ]
    assert figures_of("questions over two or three facts, nDCG@10") == [
        f"{reasoning[way]['ndcg']:.3f}" for way in ("model", "teacher", "ceiling")
    ]
    assert figures_of("harmful requests that find their own page among the first five") == [
        f"{harmful[way]['top5']:.1%}" for way in ("model", "teacher")
    ]
    assert figures_of("benign look-alikes, nDCG@10") == [
        f"{benign[way]['ndcg']:.3f}" for way in ("model", "teacher")
    ]
    assert figures_of("embeddings that decode to the LLM's own answer, word for word") == [
        f"{measured['decoded']:.1%}"
    ]
    assert figures_of("documents, queries, decoded tokens a second, 0.6B shape, two CPU cores") == [
        *ratios,
        *memory_beside_the_reference(),
    ]


def test_the_model_card_has_every_measured_figure_and_every_goal_is_reached():
    measured = json.loads((almanac.FOLDER / "figures.json").read_text(encoding="utf-8"))
    card = (almanac.FOLDER / "README.md").read_text(encoding="utf-8")
    for group in (measured["reasoning"], *measured["groups"]):
        shown = [group[way]["ndcg"] for way in ("teacher", "model", "ceiling")]
        row = f"| {group['name']} | {group['questions']} | " + " | ".join(f"{v:.3f}" for v in shown)
        assert row in card
    for goal in measured["goals"]:
        row = re.escape(f"| {goal['name']} |") + rf".*\| {goal['value']:.3f} \| yes \|"
        assert re.search(row, card)
        assert goal["reached"], goal["name"]


def test_the_speed_of_8_bits_is_measured():
    large, small = (
        sorted(measured[side]["ratio"]["median"] for side in ("documents", "queries"))
        for measured in (
            result("int8.0.6b"),
            read_results(RESULTS)["avx512-bf16-25-17"]["int8.smollm2"],
        )
    )
    said = " ".join(README.split())
    assert f"0.6B {large[0]:.2f} to {large[1]:.2f} times on an AMD EPYC of family 26" in said
    assert f"`smollm2` {small[0]:.2f} to {small[1]:.2f} times on one of family 25, model 17" in said


def a_query(name, way):
    """Return the seconds of one query on each processor, to two digits."""
    return f"{' to '.join(over_processors(name, '.2g', 'seconds', way))} s"


def test_the_table_of_models_is_measured_published_or_computed():
    bundled = sum(path.stat().st_size for path in almanac.FOLDER.rglob("*") if path.is_file())
    peak = result("memory.almanac")["peak_mib"]
    _, _, download, memory, query = table_row("`almanac`")
    assert download == f"none: {bundled / 1e6:.0f} MB in the package"
    assert memory == f"{peak['ours']['median'] / 1024:.1f} GiB"
    assert query == a_query("query.almanac", "ours")
    *_, memory, query = table_row("`smollm2`")
    peak = read_results(RESULTS)["avx512-bf16-25-17"]["int8.smollm2"]["peak_mib"]["default"]
    assert memory == f"{peak['median'] / 1024:.1f} GiB"
    assert query == a_query("query.smollm2", "ours")
    minilm = "all-MiniLM-L6-v2"
    both = ("query.almanac", "query.smollm2")  # it is timed beside each
    times = sorted(
        results[name]["seconds"][minilm]["median"]
        for results in read_results(RESULTS).values()
        for name in both
        if name in results
    )
    stated = f"{times[0]:.2g} to {times[-1]:.2g} s"
    assert table_row(f"{minilm}, not of this package")[-1] == stated
    times = " to ".join(over_processors("query.smollm2", ".0f", "ratio_to_minilm"))
    assert f"takes {times} times as long" in " ".join(README.split())

    *_, memory, query = table_row("`McGill-NLP/LLM2Vec-Gen-Qwen3-06B`")
    larger_vocabulary = (151_936 - 32_000) * 1024 * 2  # Qwen3's beside the benchmark's, bfloat16
    peak = result("memory.0.6b")["peak_mib"]["ours"]["median"] * 2**20 + larger_vocabulary
    assert memory == f"about {peak / 2**30:.1f} GiB"
    assert query == a_query("hyde.0.6b", "ours")

    published = re.findall(r"^\| `(McGill-NLP/\S+)`", README, flags=re.MULTILINE)
    assert len(published) == 4
    for name in published:
        knows, mteb, download, *_ = table_row(f"`{name}`")
        billions = float(re.search(r"([\d.]+)B", knows)[1])
        assert mteb == f"{published_figures(name).model.mteb:.1f}"
        assert download == f"about {2 * billions:g} GB"


def test_how_exact_the_dtypes_are_is_measured():
    figures = json.loads((ROOT / "docs/evidence/real_texts.json").read_text(encoding="utf-8"))
    lowest = {
        (dtype, cosine): min(
            found["dtypes"][dtype][side][f"{cosine}_cosine"]
            for found in figures["accuracy"].values()
            for side in ("documents", "queries")
        )
        for dtype in ("int8", "bfloat16")
        for cosine in ("mean", "worst")
    }
    said = " ".join(README.split())
    of_int8 = f"a mean cosine of {lowest['int8', 'mean']:.4f} to those of float32, "
    assert of_int8 + f"{lowest['int8', 'worst']:.4f} at worst" in said
    of_bfloat16 = (
        f"it is {lowest['bfloat16', 'mean']:.4f}, and {lowest['bfloat16', 'worst']:.4f} at"
    )
    assert of_bfloat16 in said


def test_what_smollm2_finds_is_measured():
    figures = json.loads((ROOT / "docs/evidence/real_texts.json").read_text(encoding="utf-8"))
    sets, unseen = (figures["whole"][cut] for cut in ("sets", "unseen"))
    ours, words, hybrid = (ndcg_of(sets, way) for way in ("ours", "bm25", "hybrid_default"))
    taught, centred = (ndcg_of(sets, way) for way in ("teacher", "states_centred"))
    whitened = ndcg_of(sets, best_whitened(sets))
    to_taught, to_centred, to_whitened, to_words = (
        ratio_over_sets(ours, other)[0] for other in (taught, centred, whitened, words)
    )
    sizes = sorted(found["documents"] for found in sets.values())
    said = " ".join(README.split())
    assert f"each cut to {sizes[0]} to {sizes[-1]} documents" in said
    assert f"`smollm2` has {to_taught:.2f} of its nDCG@10, {to_centred:.1f} times that of" in said
    assert f"and {to_whitened:.2f} times that of its whitened ones" in said
    chosen = ratio_over_sets(hybrid, words)[0]
    other = ratio_over_sets(ndcg_of(unseen, "hybrid_default"), ndcg_of(unseen, "bm25"))[0]
    assert f"finds less than BM25 alone**, {to_words:.2f} of its nDCG@10" in said
    assert f"has {other:.2f} times that of BM25 on queries for which nothing was chosen" in said
    assert f"and {chosen:.2f} on those for which its weight was" in said


@needs_smollm2
def test_what_smollm2_takes_is_stated():
    files = [path for path in smollm2.FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    llm = smollm2.installed_gguf().stat().st_size / 1e6
    stated = f"{llm:.0f} MB, and {megabytes:.1f} MB in the package"
    assert table_row("`smollm2`")[2] == stated
    assert f"{megabytes:.1f} MB in the package. The LLM itself, {llm:.0f} MB," in " ".join(
        README.split()
    )


def test_where_things_are_lists_every_room():
    listed = README.split("## Where things are\n\n```\n")[1].split("\n```")[0].splitlines()
    rooms, above = set(), ""
    for line in listed:
        name, _, comment = line.strip().partition(" ")
        assert comment.strip(), line
        above = above if line.startswith(" ") else name
        rooms.add(f"{above}{name}" if line.startswith(" ") else name)
    assert len(rooms) == len(listed)
    assert rooms == set(rooms_of(tracked_files())) - {"README.md"}


def rooms_of(files):
    """Yield the folders and files at the top, and those of the package and of training."""
    for name in files:
        first, *inner = name.split("/")
        if first.startswith("."):
            continue
        yield f"{first}/" if inner else first
        if first in ("llm2vec_gen_rag", "training") and inner[0] not in ("__init__.py", "py.typed"):
            yield f"{first}/{inner[0]}" + "/" * (len(inner) > 1)


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def table_row(first_cell):
    """The other cells of the row of a table that begins with this cell."""
    (row,) = (line for line in README.splitlines() if line.startswith(f"| {first_cell} |"))
    return [cell.strip() for cell in row.strip("|").split("|")[1:]]


def figures_of(first_cell):
    """The figures in the row of a table that begins with this cell."""
    return re.findall(r"\d+\.\d+%?", " ".join(table_row(first_cell)))


def result(name):
    """What a program measured on the processor that the README names for it."""
    return read_results(RESULTS)["avx512-bf16-26-2"][name]


def over_processors(name, digits, *keys):
    """The lowest and the highest median of the processors; one number if they agree."""
    measured = [results[name] for results in read_results(RESULTS).values() if name in results]
    medians = sorted(reduce(getitem, [*keys, "median"], figures) for figures in measured)
    return list(dict.fromkeys(format(end, digits) for end in (medians[0], medians[-1])))


def memory_beside_the_reference():
    """The lowest and the highest median over processors, and over ways to call the reference."""
    medians = sorted(
        figures["median"]
        for results in read_results(RESULTS).values()
        for name, figures in results.get("memory.0.6b", {}).items()
        if name.startswith("memory_ratio")
    )
    return [f"{medians[0]:.2f}", f"{medians[-1]:.2f}"]


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links if not link.startswith("http"))
