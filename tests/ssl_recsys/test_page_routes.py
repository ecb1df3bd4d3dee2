"""The page's own routes: its files, explanations, the map, and adding without replacing."""

import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ssl_recsys import files, schema
from ssl_recsys.features import Bag, Categorical, Dense
from ssl_recsys.serving.app import PAGE, make_app
from ssl_recsys.serving.page_routes import group_feature
from ssl_recsys.serving.served import Models
from ssl_recsys.serving.server import Limits
from ssl_recsys.training.export import load_export
from ssl_recsys.training.rescale import rescale

NEW = {"developer_name": "dev1", "categories": ["G1"], "title": "Beta game", "quality": 0.8}


@pytest.fixture(scope="module")
def client(trained: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    model_dir = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(trained, model_dir)
    # What is explained has the scale that the index has.
    with files.locked(model_dir):
        rescale(load_export(model_dir), model_dir, 0.8)
    models = Models.load([str(model_dir)], verify=True, keep_versions=0)
    with TestClient(make_app(models, Limits(hosts=("testserver",)))) as found:
        yield found


def answer(client: TestClient, method: str, path: str, status: int = 200, **given: Any) -> Any:
    found = client.request(method, path, **given)
    assert found.status_code == status, found.text
    return found.json()


def explained(client: TestClient, query: Any, item: str) -> dict[str, Any]:
    return answer(client, "POST", "/v1/explain", json={"query": query, "item": item})


def test_the_page_is_its_own_files_alone(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in PAGE.iterdir():
        found = client.get(f"/static/{path.name}")
        assert found.content == path.read_bytes()
        # Neither markup in scripts, nor scripts or styles in markup, nor anything from elsewhere.
        for unwanted in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "<style",
            "style=",
            "onclick",
        ):
            assert unwanted not in found.text
        assert "//" not in found.text.replace("// ", "").replace("http://www.w3.org/2000/svg", "")


def test_a_score_is_explained_as_it_is_recommended(client: TestClient) -> None:
    for item in answer(client, "POST", "/v1/recommend", json={"key": "a"})["items"]:
        found = explained(client, "a", item["key"])
        assert found["score"] == pytest.approx(item["score"], abs=2e-6)
        for one in found["features"]:
            assert one["drop"] == pytest.approx(found["score"] - one["score_without"], abs=1e-9)
        drops = [one["drop"] for one in found["features"]]
        assert drops == sorted(drops, reverse=True)
    # As in the table: a and b have a developer, G1 and the word "game".
    shared = {one["feature"]: one["shared"] for one in explained(client, "a", "b")["features"]}
    assert shared["developer_name"] == ["dev1"]
    assert shared["categories"] == ["G1"]
    assert "game" in shared["title_unigram"]
    assert shared["id"] == shared["popularity"] == []


def test_raw_features_and_added_items_are_explained(client: TestClient) -> None:
    raw = {**NEW, "app_id": "new"}
    by_features = explained(client, raw, "b")
    answer(client, "PUT", "/v1/items/new", 201, json={"columns": NEW})
    assert explained(client, "new", "b") == by_features
    (found,) = answer(
        client, "POST", "/v1/recommend", json={"key": "b", "only": {"keys": ["new"]}}
    )["items"]
    assert explained(client, "b", "new")["score"] == pytest.approx(found["score"], abs=2e-6)
    answer(client, "DELETE", "/v1/items/new")


def test_bad_requests(client: TestClient) -> None:
    for status, request in (
        (404, {"query": "a", "item": "nothing"}),
        (404, {"query": "nothing", "item": "a"}),
        (404, {"query": "a", "item": "a", "model": "nothing"}),
        (422, {"query": {"colour": "red"}, "item": "a"}),
        (422, {"query": 1, "item": "a"}),
        (422, {"query": "a"}),
    ):
        assert answer(client, "POST", "/v1/explain", status, json=request)["detail"]
    assert answer(client, "GET", "/v1/map?limit=99999", 422)["detail"]


def test_the_map_has_all_items_and_those_asked_for(client: TestClient) -> None:
    found = answer(client, "GET", "/v1/map")
    assert {point["key"] for point in found["points"]} == {*"abcdefx"}
    assert found["groups"] == "categories"
    assert all(abs(point[axis]) <= 1 for point in found["points"] for axis in "xy")
    by_key = {point["key"]: point for point in found["points"]}
    # G1 is the most frequent category, x has none.
    assert by_key["a"]["group"] == by_key["f"]["group"] == "G1"
    assert by_key["x"]["group"] is None
    part = answer(client, "GET", "/v1/map?limit=2&key=a&key=nothing")["points"]
    assert part[:2] == found["points"][:2]
    assert {point["key"] for point in part[2:]} == {"a"} - {point["key"] for point in part[:2]}


def test_the_map_follows_changes_of_items(client: TestClient) -> None:
    before = {point["key"]: point for point in answer(client, "GET", "/v1/map")["points"]}
    answer(client, "PUT", "/v1/items/new", 201, json={"columns": NEW})
    answer(client, "DELETE", "/v1/items/c")
    found = {point["key"]: point for point in answer(client, "GET", "/v1/map")["points"]}
    assert {*found} == {*"abdefx", "new"}
    assert found["new"]["slice"] == "fresh"
    assert all(found[key] == before[key] for key in "abdefx")
    answer(client, "DELETE", "/v1/items/new")


def test_an_item_is_replaced_only_if_that_is_wanted(client: TestClient) -> None:
    put = {"json": {"columns": NEW}}
    only_new = {**put, "headers": {"If-None-Match": "*"}}
    answer(client, "PUT", "/v1/items/other", 201, **only_new)
    said = answer(client, "PUT", "/v1/items/other", 412, **only_new)["detail"]
    assert said == "there is an item 'other' in model 'run' already"
    answer(client, "PUT", "/v1/items/other", **put)
    answer(client, "DELETE", "/v1/items/other")
    answer(client, "PUT", "/v1/items/other", 201, **only_new)


def test_what_is_typed_begins_with_the_most_popular(client: TestClient) -> None:
    items = answer(client, "GET", "/v1/suggest?q=&limit=3")["items"]
    assert [item["train_count"] for item in items] == [2, 2, 1]  # b and x, then a


def test_groups_are_of_a_bag_before_others_and_never_of_names() -> None:
    pairs = {"train": 0, "validation": 0, "test": 0}
    names, makers = Categorical("id", vocab_size=9), Categorical("maker", vocab_size=4)
    tags, number = Bag("tags", vocab_size=3), Dense("number")
    for features, expected in (
        ((names, makers, tags, number), "tags"),
        ((names, number, makers), "maker"),
        ((names, number), ""),
    ):
        info = schema.DatasetInfo("data", features, num_items=10, num_pairs=pairs)
        assert group_feature(info) == expected
