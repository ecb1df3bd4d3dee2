"""`index` and `embed`: an index as files, items added and removed, and what a kill leaves."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from ssl_recsys import embed, evaluate, recommend, schema
from ssl_recsys import index as index_command
from ssl_recsys.errors import InputError
from ssl_recsys.search.scann import ScannSearch
from ssl_recsys.serving import index_files
from ssl_recsys.serving.index import Added, Build, Index, no_items
from ssl_recsys.serving.versions import VERSIONS, Store
from ssl_recsys.training.export import Exported, load_export
from tests import command_line, install_data
from tests.ssl_recsys import commands

LOADED: dict[bytes, Exported] = {}


@pytest.fixture(autouse=True)
def load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is loaded once, which takes seconds: its copies have the same files."""

    def load(path: pathlib.Path | str, *, verify: bool = True) -> Exported:
        manifest = (pathlib.Path(path) / "export" / "manifest.json").read_bytes()
        if manifest not in LOADED:
            LOADED[manifest] = load_export(path, verify=verify)
        return LOADED[manifest]

    monkeypatch.setattr("ssl_recsys.training.export.load_export", load)


@pytest.fixture
def model_dir(trained: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def call(command: Any, options: Any, model_dir: pathlib.Path, *arguments: object) -> None:
    command.main(command_line.parse(options, f"--model_dir={model_dir}", *arguments))


def build(model_dir: pathlib.Path, *arguments: object) -> None:
    call(index_command, index_command.IndexOptions, model_dir, *arguments)


def embed_items(model_dir: pathlib.Path, *arguments: object) -> None:
    call(embed, embed.EmbedOptions, model_dir, *arguments)


def recommended(model_dir: pathlib.Path, output: pathlib.Path, *arguments: object) -> list[Any]:
    given = ("--format=json", f"--output={output}", "--k=20", *arguments)
    call(recommend, recommend.RecommendOptions, model_dir, *given)
    return [json.loads(line) for line in output.read_text().splitlines()]


def table(path: pathlib.Path, rows: list[tuple[str, ...]]) -> pathlib.Path:
    return install_data.write_lines(path, [install_data.APPS[0], *rows])


def test_embeddings_of_a_table_are_those_of_the_catalog(
    model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    apps = table(tmp_path / "apps.csv", install_data.APPS[1:])
    exported = load_export(model_dir)
    keys = exported.catalog(schema.ITEM).keys.tolist()
    embed_items(model_dir, f"--items={apps}", f"--output={tmp_path / 'new.npy'}")
    found = (tmp_path / "new.keys.txt").read_text().splitlines()
    assert found == [*"abcdef"]
    rows = [keys.index(key) for key in found]
    np.testing.assert_allclose(
        np.load(tmp_path / "new.npy"), exported.item_embeddings[rows], atol=1e-6
    )
    # The same as JSON lines with lists and numbers, and as Parquet out.
    names = install_data.APPS[0]
    with (tmp_path / "apps.jsonl").open("w") as file:
        for row in install_data.APPS[1:]:
            app: dict[str, Any] = dict(zip(names, row, strict=True))
            app["categories"] = app["categories"].split("|")
            app["popularity"] = float(app["popularity"]) if app["popularity"] else None
            file.write(json.dumps(app) + "\n")
    output = tmp_path / "new.parquet"
    embed_items(model_dir, f"--items={tmp_path / 'apps.jsonl'}", f"--output={output}")
    written = pyarrow.parquet.read_table(output).to_pydict()
    assert written["key"] == found
    np.testing.assert_allclose(
        np.array(written["embedding"]), np.load(tmp_path / "new.npy"), atol=1e-6
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app,title\na,b\n", r"new\.csv has no column 'app_id'"),
        ("app_id,title\na,b\n,c\n", r"new\.csv:3: app_id is empty"),
        ("app_id,title\na,b\na,c\n", r"new\.csv:3: the key 'a' is already in .*new\.csv:2"),
        ("app_id,title\na,b,c\n", r"1 records of .*new\.csv.*\n.*new\.csv:2: expected 2 columns"),
        ("app_id,title\n", "there is no item in"),
    ],
)
def test_bad_tables(trained: pathlib.Path, tmp_path: pathlib.Path, text: str, message: str) -> None:
    (tmp_path / "new.csv").write_text(text)
    output = tmp_path / "new.npy"
    with pytest.raises(InputError, match=message):
        embed_items(trained, "--noverify", f"--items={tmp_path / 'new.csv'}", f"--output={output}")
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_a_new_item_is_found_at_once_and_a_removed_one_is_not(
    model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    new = table(tmp_path / "new.csv", [("new", "dev1", "G1", "Alpha game", "90", "0.8"),
                                       ("c", "dev1", "G1", "Beta game", "10", "")])  # fmt: skip
    with pytest.raises(InputError, match="has no index to add items to"):
        embed_items(model_dir, f"--items={new}", "--index")
    plain = recommended(model_dir, tmp_path / "plain", "--query=a")
    build(model_dir)
    assert recommended(model_dir, tmp_path / "built", "--query=a") == plain
    embed_items(model_dir, f"--items={new}", f"--output={tmp_path / 'alone.npy'}")
    embed_items(model_dir, f"--items={new}", f"--output={tmp_path / 'both.npy'}", "--index")
    alone, both = (np.load(tmp_path / f"{name}.npy") for name in ("alone", "both"))
    np.testing.assert_array_equal(both, alone)
    found = recommended(model_dir, tmp_path / "found", "--query=a", "--query=new", "--query=c")
    scores = [{one["key"]: one["score"] for one in each["items"]} for each in found]
    assert [{*one} for one in scores] == [
        {"b", "c", "d", "e", "f", "x", "new"},
        {"a", "b", "c", "d", "e", "f", "x"},
        {"a", "b", "d", "e", "f", "x", "new"},
    ]
    before = {one["key"]: one["score"] for one in plain[0]["items"]}
    assert {key for key, score in scores[0].items() if score != before.get(key)} == {"new", "c"}
    assert all(each["items"][0]["score"] >= each["items"][-1]["score"] for each in found)
    (fresh,) = (one for one in found[0]["items"] if one["key"] == "new")
    assert (fresh["title"], fresh["train_count"], fresh["slice"]) == ("Alpha game", 0, "tail")
    build(model_dir, "--remove=new", "--remove=b")
    left = recommended(model_dir, tmp_path / "left", "--query=c")[0]["items"]
    assert {one["key"] for one in left} == {"a", "d", "e", "f", "x"}
    with pytest.raises(InputError, match="no item 'b' in the index to remove"):
        build(model_dir, "--remove=b")
    # A new build finds the same; an old version can be had back.
    build(model_dir)
    assert recommended(model_dir, tmp_path / "again", "--query=c")[0]["items"] == left
    build(model_dir, "--use_version=2")
    queries = ("--query=a", "--query=new", "--query=c")
    assert recommended(model_dir, tmp_path / "back", *queries) == found
    build(model_dir, "--use_version=1")
    assert recommended(model_dir, tmp_path / "first", "--query=a") == plain
    with pytest.raises(InputError, match=r"versions/9 \(there are 1, 2, 3, 4\)"):
        build(model_dir, "--use_version=9")
    build(model_dir, "--from_catalog")
    assert recommended(model_dir, tmp_path / "fresh", "--query=a") == plain


def test_damage_and_another_model(model_dir: pathlib.Path) -> None:
    build(model_dir)
    exported = load_export(model_dir)
    path = model_dir / "index" / "builds" / "1" / "embeddings.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\xff")
    with pytest.raises(InputError, match=r"embeddings\.npy is damaged"):
        index_files.load(Store(model_dir), exported)
    path.write_bytes(content)
    assert index_files.load(Store(model_dir), exported) is not None
    manifest = model_dir / "export" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(InputError, match="is the index of another model"):
        index_files.load(Store(model_dir), exported)


def test_a_saved_scann_index_is_used(
    model_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    pytest.importorskip("scann")
    kept, built = [], ScannSearch.build

    def build_plain(items: np.ndarray, *, reorder_dtype: str, **given: Any) -> ScannSearch:
        kept.append(reorder_dtype)  # brute force, as of so few items, keeps float32 all the same
        return built(items, reorder_dtype=reorder_dtype, **given)

    monkeypatch.setattr(ScannSearch, "build", build_plain)
    build(model_dir, "--retrieval=scann", "--scann_reorder=int8")
    assert kept == ["int8"]
    monkeypatch.setattr("ssl_recsys.search.scann.ScannSearch.build", None)  # no other is built
    exact = recommended(model_dir, tmp_path / "exact", "--query=a")
    scann = recommended(model_dir, tmp_path / "scann", "--query=a", "--retrieval=scann")
    assert [one["key"] for one in scann[0]["items"]] == [one["key"] for one in exact[0]["items"]]
    call(evaluate, evaluate.EvaluateOptions, model_dir, "--retrieval=scann")
    metrics = json.loads((model_dir / "metrics_scann.json").read_text())
    assert metrics["scann"]["recall@10_vs_exact"] == 1.0


def random_index(rng: np.random.Generator, size: int) -> tuple[Index, dict[str, np.ndarray]]:
    """An index with changes, and what it should find by key."""
    vectors = rng.normal(size=(size + 4, 8)).astype(np.float32)
    keys = np.array([f"item {row}" for row in range(size)], object)
    base = Build(
        1, pathlib.Path(), keys, keys, np.arange(size), vectors[:size], vectors[:0], (), ""
    )
    added = Added(("new", "item 0"), ("", ""), *[vectors[size : size + 2]] * 2, ({}, {}))
    removed = frozenset(f"item {row}" for row in range(1, size, 2))
    expected = {f"item {row}": vectors[row] for row in range(2, size, 2)}
    expected |= {"new": vectors[size], "item 0": vectors[size + 1]}
    return Index(base, added, removed, 1), expected


@pytest.mark.parametrize("size", [1, 2, 50, 200])
def test_search_is_that_of_what_is_left(size: int) -> None:
    rng = np.random.default_rng(size)
    index, expected = random_index(rng, size)
    assert index.num_items == len(expected)
    queries = rng.normal(size=(5, 8)).astype(np.float32)
    for k in (1, 7, 500):
        scores, rows = index.search(queries, k)
        for query, of_query, found in zip(queries, scores, rows, strict=True):
            best = sorted(expected, key=lambda key, q=query: -(expected[key] @ q))
            assert [index.keys[row] for row in found] == best[:k]
            np.testing.assert_allclose(of_query, [expected[key] @ query for key in best[:k]],
                                       rtol=1e-5, atol=1e-6)  # fmt: skip


def test_an_index_without_items_finds_nothing() -> None:
    keys = np.array(["a"], object)
    vector = np.ones((1, 2), np.float32)
    base = Build(1, pathlib.Path(), keys, keys, np.arange(1), vector, vector[:0], (), "")
    assert Index(base, no_items(2), frozenset("a"), 1).search(vector, 3)[1].shape == (1, 0)


KILLED = """
import os, pathlib, signal, sys
from ssl_recsys import files
from ssl_recsys.serving.versions import VERSIONS, Store
model_dir, step = sys.argv[1], int(sys.argv[2])
calls = 0
def audit(event, arguments):
    # Before a file is opened for writing, or anything renamed or deleted.
    global calls
    is_write = event == "open" and isinstance(arguments[1], str) and {*"wa+"} & {*arguments[1]}
    if event in ("os.rename", "os.remove", "os.mkdir", "shutil.rmtree") or is_write:
        calls += str(arguments[0]).startswith(model_dir)
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
store = Store(pathlib.Path(model_dir))
with store.locked():
    def write(path):
        for name in ("one", "two"):
            files.write_text(path / name, sys.argv[3])
    store.use(store.add(VERSIONS, write))
"""


def add_killed(model_dir: pathlib.Path, step: int, text: str) -> int:
    """Adds a version in another process, which is killed before its step; its exit status."""
    command = [sys.executable, "-c", KILLED, str(model_dir), str(step), text]
    return subprocess.run(command, cwd=commands.ROOT, check=False).returncode


def test_a_kill_leaves_a_whole_version(tmp_path: pathlib.Path) -> None:
    assert add_killed(tmp_path, 0, "old") == 0
    store = Store(tmp_path)
    found, step, status = [], 0, -signal.SIGKILL
    while status:
        step += 1
        status = add_killed(tmp_path, step, "new")
        assert status in (0, -signal.SIGKILL)
        current = store.current()
        assert current is not None
        path = store.directory(VERSIONS, current)  # with its manifest
        texts = {(path / name).read_text() for name in ("one", "two")}
        assert len(texts) == 1
        found += texts
        store.use(1)
    # The switch is one step: what is killed later, as it clears up, has the new version.
    switched = found.index("new")
    assert found == ["old"] * switched + ["new"] * (step - switched)
    assert switched > 8
    assert not list((store.path / VERSIONS).glob("*.tmp"))
