"""The HTTP server in this process: answers, changes of items, reloads, limits, bad requests."""

import json
import pathlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ssl_recsys import index as index_command
from ssl_recsys import recommend, schema
from ssl_recsys.serving import live_model
from ssl_recsys.serving.app import make_app
from ssl_recsys.serving.feature_values import raw_values
from ssl_recsys.serving.raw_items import item_columns, read_items
from ssl_recsys.serving.served import Models, distinct_names
from ssl_recsys.serving.server import Limits
from ssl_recsys.serving.versions import Store
from ssl_recsys.training import export
from tests import command_line, install_data
from tests.ssl_recsys import commands

HOSTS = ("testserver",)
NEW = {"developer_name": "dev1", "categories": ["G1", "G9"], "title": "Alpha <b>game</b>",
       "popularity": 90, "quality": 0.8}  # fmt: skip
LOADED: dict[tuple[str, bytes], Any] = {}


@pytest.fixture(autouse=True, scope="module")
def load_once() -> Iterator[None]:
    """A model is loaded once, which takes seconds: its copies have the same files."""

    def once(load: Callable[..., Any]) -> Callable[..., Any]:
        def loaded(path: pathlib.Path | str, *, verify: bool = True) -> Any:
            manifest = (pathlib.Path(path) / "export" / "manifest.json").read_bytes()
            key = load.__name__, manifest
            if key not in LOADED:
                LOADED[key] = load(path, verify=verify)
            return LOADED[key]

        return loaded

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(live_model, "load_trained", once(live_model.load_trained))
        load_export = once(export.load_export)
        monkeypatch.setattr(export, "load_export", load_export)
        monkeypatch.setattr(live_model, "load_export", load_export)
        yield
    LOADED.clear()


@pytest.fixture
def model_dir(trained: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def load(*model_dirs: pathlib.Path, keep_versions: int = 0) -> Models:
    return Models.load([*map(str, model_dirs)], verify=True, keep_versions=keep_versions)


def limits(**changed: Any) -> Limits:
    return Limits(**{"hosts": HOSTS, "poll_seconds": 1000.0} | changed)


@pytest.fixture
def client(model_dir: pathlib.Path) -> Iterator[TestClient]:
    with TestClient(make_app(load(model_dir), limits())) as client:
        yield client


def ask(client: TestClient, **request: Any) -> list[dict[str, Any]]:
    answer = client.post("/v1/recommend", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def scores(items: list[dict[str, Any]]) -> dict[str, float]:
    return {item["key"]: item["score"] for item in items}


def close(found: list[dict[str, Any]], expected: dict[str, float]) -> None:
    """Keys and scores, but for the last digit of a score."""
    assert scores(found) == pytest.approx(expected, abs=2e-6)


def test_answers_are_those_of_the_command(
    client: TestClient, model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = [f"--model_dir={model_dir}", "--query=a", "--query=x", "--format=json", "--k=3"]
    recommend.main(
        command_line.parse(
            recommend.RecommendOptions, *arguments, f"--output={tmp_path / 'expected'}"
        )
    )
    for line in (tmp_path / "expected").read_text().splitlines():
        expected = json.loads(line)
        answer = client.post("/v1/recommend", json={"key": expected["query"], "k": 3}).json()
        assert answer["query"] == {"key": expected["query"], "title": expected["title"]}
        assert (answer["model"], answer["index_version"]) == ("run", 0)
        close(answer["items"], scores(expected["items"]))
        named = ("rank", "key", "title", "slice", "train_count")
        assert [[item[name] for name in named] for item in answer["items"]] == [
            [item[name] for name in named] for item in expected["items"]
        ]


def test_raw_features_of_an_item_find_what_its_key_does(client: TestClient) -> None:
    for app in install_data.APPS[1:]:
        columns = dict(zip(install_data.APPS[0], app, strict=True))
        found = ask(client, item=columns, k=6)
        close(found, scores(ask(client, key=app[0], k=6)))
        # Without its key it is nobody's own.
        assert app[0] in scores(ask(client, item={**columns, "app_id": ""}, k=7))


def test_several_keys_are_the_mean_of_their_embeddings(client: TestClient) -> None:
    live = client.app.state.server.models[None].live
    rows = [live.row(key) for key in ("a", "d", "e")]
    mean = live.query_embeddings(rows, []).sum(axis=0)
    mean /= np.linalg.norm(mean)
    all_rows = np.arange(7)
    expected = dict(zip(live.index.keys, live.index.embeddings(all_rows) @ mean, strict=True))
    close(ask(client, keys=["a", "d", "e"], exclude_self=False), expected)
    for key in ("a", "d", "e"):
        del expected[key]
    close(ask(client, keys=["a", "d", "e"]), expected)
    one = ask(client, keys=["a"])
    assert one == ask(client, key="a")


def test_what_is_left_out_and_what_alone_is_asked_for(client: TestClient) -> None:
    everything = scores(ask(client, key="a"))
    assert set(everything) == {*"bcdefx"}

    def kept(keys: str) -> dict[str, float]:
        return {key: everything[key] for key in keys}

    close(ask(client, key="a", exclude=["b", "nothing"]), kept("cdefx"))
    close(ask(client, key="a", only={"keys": ["c", "a", "f", "c"]}), kept("cf"))
    # By hand: G1 have a, b and f, G2 has d besides a.
    by_value = {"feature": "categories", "value": "G1"}
    close(ask(client, key="a", only=by_value), kept("bf"))
    close(ask(client, key="a", only=by_value, exclude=["b"], k=1), kept("f"))
    assert "a" in scores(ask(client, key="a", only=by_value, exclude_self=False))
    close(ask(client, key="a", only={"feature": "categories", "value": "G2"}), kept("d"))


def test_an_item_comes_is_found_changes_and_goes(
    client: TestClient, model_dir: pathlib.Path
) -> None:
    path = "/v1/items/AC%2FDC%3F%20100%25"
    key = "AC/DC? 100%"
    before = scores(ask(client, key="a"))
    assert client.get(path).status_code == 404
    answer = client.put(path, json={"columns": NEW})
    assert (answer.status_code, answer.json()) == (
        201,
        {"model": "run", "key": key, "index_version": 2},  # 1 is the build
    )
    item = client.get(path).json()
    assert item == {
        "model": "run", "key": key, "title": "Alpha <b>game</b>", "slice": "fresh",
        "train_count": 0, "features": item["features"],
    }  # fmt: skip
    assert item["features"]["categories"] == ["G1", "G9"]
    found = scores(ask(client, key="a"))
    assert {name: found[name] for name in before} == before
    assert found[key] == pytest.approx(ask(client, key="a", only={"keys": [key]})[0]["score"])
    assert scores(ask(client, key=key, only={"feature": "categories", "value": "G1"})).keys() == {
        *"abf"
    }
    # A value without an id is found among fresh items.
    (only,) = ask(client, key="a", only={"feature": "categories", "value": "G9"})
    assert (only["key"], only["slice"]) == (key, "fresh")
    assert client.get("/v1/suggest?q=alpha").json()["items"][-1]["key"] == key
    # It outlives the process, and what changes it.
    with TestClient(make_app(load(model_dir), limits())) as again:
        assert again.get(path).json() == item
        assert scores(ask(again, key="a")) == found
        assert again.put(path, json={"columns": {"title": "Z"}}).status_code == 200
        assert again.get(path).json()["features"]["categories"] == []
        assert again.delete(path).json()["index_version"] == 4
        assert again.delete(path).status_code == 404
        assert scores(ask(again, key="a")) == before
        assert again.delete("/v1/items/b").status_code == 200  # an item of the catalog
        assert "b" not in scores(ask(again, key="a"))
        assert again.get("/v1/suggest?q=beta").json() == {"items": []}
        assert again.get("/v1/models").json()["models"][0]["removed"] == 1
    # The first server has not looked yet; a change makes it look.
    assert client.put(path, json={"columns": NEW}).status_code == 201
    assert "b" not in scores(ask(client, key="a"))


def test_a_build_keeps_what_added_items_are(client: TestClient, model_dir: pathlib.Path) -> None:
    client.put("/v1/items/new", json={"columns": NEW})
    before = client.get("/v1/items/new").json()
    build(model_dir)
    assert client.post("/v1/reload").json()["models"] == [
        {"name": "run", "changed": True, "index_version": 3}
    ]
    assert client.get("/v1/items/new").json() == before
    assert client.post("/v1/reload").json()["models"][0]["changed"] is False


def build(model_dir: pathlib.Path, *arguments: str) -> None:
    index_command.main(
        command_line.parse(index_command.IndexOptions, f"--model_dir={model_dir}", *arguments)
    )


def test_an_index_that_was_deleted_and_built_again(
    client: TestClient, model_dir: pathlib.Path
) -> None:
    client.put("/v1/items/new", json={"columns": NEW})
    build(model_dir)  # build 2 has the new item
    client.post("/v1/reload")
    shutil.rmtree(model_dir / "index")
    build(model_dir)
    build(model_dir)  # build 2, again
    assert client.post("/v1/reload").json()["models"][0]["changed"] is True
    assert client.get("/v1/items/new").status_code == 404


def test_old_versions_are_removed_but_builds(model_dir: pathlib.Path) -> None:
    served = load(model_dir, keep_versions=2)[None]
    for number in range(5):
        served.put(f"new {number}", {"title": "Alpha"})
    # 1 is the build without changes, 6 the last change.
    assert Store(model_dir).versions() == [1, 5, 6]
    assert served.live.num_fresh == 5


def test_an_index_without_raw_features_still_loads(model_dir: pathlib.Path) -> None:
    served = load(model_dir)[None]
    served.put("new", NEW)
    version = model_dir / "index" / "versions" / "2"
    content = json.loads((version / "version.json").read_text())
    del content["columns"]  # as an earlier revision wrote it
    (version / "version.json").write_text(json.dumps(content))
    again = Models.load([str(model_dir)], verify=False, keep_versions=0)[None].live
    assert again.features_of(again.row("new")) == {}
    again.trained.features.rows_with(again.index, "categories", "G1")


def test_a_new_model_is_served_and_one_that_cannot_be_is_not(
    client: TestClient, model_dir: pathlib.Path
) -> None:
    client.put("/v1/items/new", json={"columns": NEW})
    found = ask(client, key="a")
    manifest = model_dir / "export" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")  # another model, as far as an index knows
    answer = client.post("/v1/reload")
    assert answer.status_code == 422
    assert "is the index of another model" in answer.json()["detail"]
    assert ask(client, key="a") == found
    build(model_dir, "--from_catalog")
    assert client.post("/v1/reload").json()["models"][0]["changed"] is True
    assert "new" not in scores(ask(client, key="a"))
    text = client.get("/metrics").text
    assert 'ssl_recsys_reloads_total{model="run",result="failed"} 1.0' in text
    assert 'ssl_recsys_reloads_total{model="run",result="changed"} 1.0' in text


def test_polling_finds_a_new_index(model_dir: pathlib.Path) -> None:
    with TestClient(make_app(load(model_dir), limits(poll_seconds=0.05))) as client:
        build(model_dir)
        deadline = time.monotonic() + 60
        while client.get("/v1/models").json()["models"][0]["index_version"] != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_change_waits_for_a_command_but_not_for_ever(
    client: TestClient, model_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put("/v1/items/new", json={"columns": NEW})
    monkeypatch.setattr("ssl_recsys.serving.served._PATIENCE_SECONDS", 0.1)
    with Store(model_dir).locked():
        answer = client.put("/v1/items/new", json={"columns": NEW})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "in use by another process" in answer.json()["detail"]
    assert client.put("/v1/items/new", json={"columns": NEW}).status_code == 200


def test_two_models(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for parent in ("one", "two"):
        shutil.copytree(trained, tmp_path / parent / "run")
    models = load(tmp_path / "one" / "run", tmp_path / "two" / "run")
    with TestClient(make_app(models, limits())) as client:
        names = [one["name"] for one in client.get("/v1/models").json()["models"]]
        assert names == ["run", "run-2"]
        client.put("/v1/items/new?model=run-2", json={"columns": NEW})
        assert client.get("/v1/items/new").status_code == 404
        assert client.get("/v1/items/new?model=run-2").status_code == 200
        assert "new" in scores(ask(client, key="a", model="run-2"))
    paths = [pathlib.Path(one) for one in ("a/x", "b/x", "x-2", "c/x")]
    assert distinct_names(paths) == ["x", "x-2", "x-2-2", "x-3"]


def test_models_say_what_they_take(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    del model["model_dir"]
    assert model == {
        "name": "run", "method": "baseline", "label": "Baseline", "items": 7, "fresh": 0,
        "removed": 0, "index_version": 0, "retrieval": "exact", "num_train_pairs": 5,
        "queries": "items",
        "raw": {
            "key": "app_id", "title": "title",
            "columns": model["raw"]["columns"],
        },
    }  # fmt: skip
    columns = {one["name"]: one for one in model["raw"]["columns"]}
    assert columns["categories"]["kind"] == "list"
    assert columns["quality"]["kind"] == "number"
    assert columns["developer_name"] == {
        "name": "developer_name", "kind": "text", "feature": columns["developer_name"]["feature"],
        "label": "Developer name",
    }  # fmt: skip


def test_a_dataset_from_arrays_takes_no_raw_features(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    commands.train(*commands.small_run(data_dir, tmp_path / "run", "--max_epochs=1"))
    with TestClient(make_app(load(tmp_path / "run"), limits())) as client:
        assert client.get("/v1/models").json()["models"][0]["raw"] is None
        for answer in (
            client.put("/v1/items/new", json={"columns": {}}),
            client.post("/v1/recommend", json={"item": {"title": "x"}}),
        ):
            assert answer.status_code == 422
            assert "takes no raw features" in answer.json()["detail"]
        # Without a vocabulary the values are ids.
        item = client.get("/v1/items/item 3").json()
        tag = item["features"]["tags"][0]
        found = ask(client, key="item 3", only={"feature": "tags", "value": tag}, k=200)
        live = client.app.state.server.models[None].live
        tags = live.trained.catalog.features["tags"]
        expected = np.flatnonzero((tags == int(tag)).any(axis=1))
        assert {one["key"] for one in found} == {f"item {row}" for row in expected if row != 3}
        assert len(item["features"]["quality"]) == int(3 % 3 != 0)


BAD = [
    ({}, 422, "give one of key, keys, item, text and history"),
    ({"key": "a", "keys": ["b"]}, 422, "give one of key, keys, item, text and history"),
    ({"key": "zz"}, 404, "there is no item 'zz' in model 'run'"),
    ({"key": "a", "model": "other"}, 404, "there is no model 'other' (there are run)"),
    ({"key": ""}, 422, "key: a key is a text in one line"),
    ({"key": "a\0"}, 422, "without NUL"),
    ({"key": "a" * 4097}, 422, "at most 4,096 bytes in UTF-8 (got 4,097)"),
    ({"key": "\ud800"}, 422, "half of a surrogate pair"),
    ({"key": "a", "k": 0}, 422, "k: Input should be greater than or equal to 1"),
    ({"key": "a", "k": 1001}, 422, "k is at most 1,000 (got 1,001)"),
    ({"key": "a", "k": "5"}, 422, "k: Input should be a valid integer"),
    ({"key": "a", "more": 1}, 422, "more: Extra inputs are not permitted"),
    ({"keys": []}, 422, "keys: List should have at least 1 item"),
    ({"keys": ["a"] * 101}, 422, "at most 100 items"),
    ({"key": "a", "exclude": ["b"] * 1001}, 422, "at most 1000 items"),
    ({"key": "a", "only": {}}, 422, "only needs either keys, or feature and value"),
    ({"key": "a", "only": {"feature": "categories"}}, 422, "only needs either keys"),
    ({"key": "a", "only": {"keys": ["zz"]}}, 404, "there is no item 'zz'"),
    ({"key": "a", "only": {"feature": "size", "value": "1"}}, 422, "no feature 'size'"),
    ({"key": "a", "only": {"feature": "quality", "value": "1"}}, 422, "is a number"),
    ({"key": "a", "only": {"feature": "categories", "value": "?"}}, 422, "no item has the value"),
    ({"item": {"colour": "red"}}, 422, "there is no column 'colour' (there are app_id, title"),
    ({"item": {"title": {"a": 1}}}, 422, "a list of texts or of numbers"),
    ({"item": {"title": True}}, 422, "a value is a text"),
    ({"item": {"categories": [1]}}, 422, "takes a list of texts, not of numbers"),
    ({"item": {"categories": ["a", 1]}}, 422, "a list holds texts only"),
    ({"item": {"categories": [1] * 65_537}}, 422, "a vector has at most 65,536 numbers"),
    ({"item": {"categories": ["a"] * 1001}}, 422, "a list has at most 1,000 texts"),
    ({"item": {"title": "a" * 65537}}, 422, "at most 65,536 bytes"),
    ({"item": {"title": 10**401}}, 422, "a number is too long"),
]


@pytest.fixture(scope="module")
def shared(trained: pathlib.Path) -> Iterator[TestClient]:
    """For requests that change nothing."""
    with TestClient(make_app(load(trained), limits(max_body_bytes=200_000))) as client:
        yield client


@pytest.mark.parametrize(("request_body", "status", "detail"), BAD)
def test_bad_requests(
    shared: TestClient, request_body: dict[str, Any], status: int, detail: str
) -> None:
    answer = shared.post(
        "/v1/recommend",
        content=json.dumps(request_body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == status, answer.text
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "detail"),
    [
        ("POST", "/v1/recommend", b"{", 422, "the body is not JSON"),
        ("POST", "/v1/recommend", b"\xff", 400, "error parsing the body"),
        ("POST", "/v1/recommend", b"[" * 100_000, 400, "error parsing the body"),
        ("POST", "/v1/recommend", b"[]", 422, "valid dictionary"),
        ("POST", "/v1/recommend", b" " * 200_001, 413, "at most 200,000 bytes"),
        ("PUT", "/v1/items/%20a", b'{"columns": {}}', 422, "a key is a text in one line"),
        ("PUT", "/v1/items/n", b'{"columns": {"app_id": "m"}}', 422, "holds the key"),
        ("PUT", "/v1/items/n?model=m", b'{"columns": {}}', 404, "there is no model 'm'"),
        ("GET", "/v1/items/", b"", 422, "a key"),
        ("GET", "/v1/items/zz", b"", 404, "there is no item"),
        ("GET", "/v1/suggest?q=a&limit=101", b"", 422, "limit"),
        ("GET", "/v1/suggest", b"", 422, "q: Field required"),
        ("PATCH", "/v1/models", b"", 405, "Method Not Allowed"),
        ("GET", "/nothing", b"", 404, "Not Found"),
        ("GET", "/docs", b"", 404, "Not Found"),
    ],
)
def test_other_bad_requests(
    shared: TestClient, method: str, path: str, content: bytes, status: int, detail: str
) -> None:
    headers = {"Content-Type": "application/json"} if content else {}
    answer = shared.request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert detail in answer.json()["detail"]
    assert "Traceback" not in answer.text


def test_a_long_body_without_a_length_is_refused(shared: TestClient) -> None:
    pieces = iter([b" " * 100_000] * 3)
    answer = shared.post("/v1/recommend", content=pieces)
    assert answer.status_code == 413


def test_headers_and_metrics(client: TestClient) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": "mine-1"})
    assert answer.headers["X-Request-Id"] == "mine-1"
    assert client.get("/healthz", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"] != "a b"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/readyz").json() == {"status": "ready"}
    client.put("/v1/items/new", json={"columns": NEW})
    ask(client, key="a")
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'ssl_recsys_requests_total{method="POST",route="/v1/recommend",status="200"} 1.0',
        'ssl_recsys_request_seconds_count{route="/v1/recommend"} 1.0',
        'ssl_recsys_items{model="run"} 8.0',
        'ssl_recsys_fresh_items{model="run"} 1.0',
        'ssl_recsys_index_version{model="run"} 2.0',
        "ssl_recsys_queue_length 0.0",
        "ssl_recsys_batch_size_count 1.0",
    ):
        assert line in lines


def test_too_many_requests_are_told_to_come_again(
    trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(queries: Any) -> list[Any]:
        begun.set()
        go_on.wait(30)
        return [[] for _ in queries]

    monkeypatch.setattr("ssl_recsys.serving.server.recommend", slow)
    app = make_app(load(trained), limits(queue_size=1, concurrency=3))
    with TestClient(app) as client:
        answers: list[int] = []

        def post() -> None:
            answers.append(client.post("/v1/recommend", json={"key": "a"}).status_code)

        def start() -> threading.Thread:
            thread = threading.Thread(target=post)
            thread.start()
            return thread

        threads = [start()]
        assert begun.wait(30)
        threads.append(start())  # waits in the queue
        while client.get("/readyz").status_code != 503:
            time.sleep(0.01)
        refused = client.post("/v1/recommend", json={"key": "a"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json() == {"detail": "too many requests are waiting; try again"}
        go_on.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        text = client.get("/metrics").text
        assert 'ssl_recsys_rejected_total{reason="queue_full"} 1.0' in text


def test_a_defect_says_nothing_of_itself(
    shared: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ssl_recsys.serving.server.recommend", lambda queries: 1 / 0)
    answer = shared.post("/v1/recommend", json={"key": "a"})
    assert answer.status_code == 500
    assert answer.json() == {"detail": "the server has a defect; its log has more"}
    assert "ZeroDivisionError" in caplog.text


def test_values_of_raw_features_are_those_of_the_catalog(trained: pathlib.Path) -> None:
    live = load(trained)[None].live
    features = live.trained.features
    raw = live.embedders().raw
    for app in install_data.APPS[1:]:
        columns = item_columns(raw, dict(zip(install_data.APPS[0], app, strict=True)), {})
        known = live.features_of(live.row(app[0]))
        for spec in live.trained.exported.info.features_of(schema.ITEM):
            if spec.is_embedded:
                values = raw_values(features.rules[spec.name], columns)
                # The catalog has those with an id, in the same order.
                assert [value for value in values if value in known[spec.name]] == known[spec.name]
                missing = [value for value in values if value not in known[spec.name]]
                assert not {*missing} & {*features.tokens(spec.name)}


def test_columns_of_a_request_are_those_of_a_table(
    trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    raw = load(trained)[None].live.embedders().raw
    records: list[dict[str, Any]] = [
        {"title": "  A b\n c ", "categories": "G1|G2", "popularity": 12.0, "quality": 0.25},
        {"title": ["A", "b"], "categories": ["G1|G2", " x "], "popularity": 12, "quality": None},
        {"title": 7, "categories": None, "popularity": "1e3", "developer_name": " dev "},
        {"categories": [], "popularity": -3.5},
    ]
    with (tmp_path / "items.jsonl").open("w") as file:
        for number, record in enumerate(records):
            file.write(json.dumps({"app_id": str(number), **record}) + "\n")
    table = read_items([str(tmp_path / "items.jsonl")], raw, {})
    for number, (record, expected) in enumerate(zip(records, table.of_each(), strict=True)):
        found = item_columns(raw, {"app_id": str(number), **record}, {})
        if record.get("categories") is None:  # both are missing
            assert {*found.pop("categories")} | {*expected.pop("categories")} <= {""}
        assert found == expected


def test_words_are_a_query(client: TestClient) -> None:
    by_text = ask(client, text="alpha game", k=3)
    assert by_text == ask(client, item={"title": "alpha game"}, k=3)
    answer = client.post("/v1/recommend", json={"history": ["a"]})
    assert answer.status_code == 422
    assert "a history needs a model whose queries are histories" in answer.json()["detail"]
