"""Vectors from a table to the catalog, towers, raw signatures, an index and the server."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from fastapi.testclient import TestClient

from data_prep.installs.spec import spec_of
from pipelines import interactions
from ssl_recsys import embed, recommend, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.features import Vector
from ssl_recsys.serving.app import make_app
from ssl_recsys.serving.served import Models
from ssl_recsys.serving.server import Limits
from ssl_recsys.training.export import FEATURES, RAW, load_export, load_tower
from tests import command_line, install_data
from tests.ssl_recsys import commands

KEYS = [app[0] for app in install_data.APPS[1:]]
# Lengths 5, 2 and 10; c and e have none, and x has no row.
TITLES = {"a": [3, 4], "b": [0, -2.0], "d": [6, 8], "f": [1e-3, 0]}
UNIT = {"a": [0.6, 0.8], "b": [0, -1], "d": [0.6, 0.8], "f": [1, 0]}
COVERS = np.arange(18, dtype=np.float16).reshape(6, 3)  # of the rows a to f
FEATURES_OF_APPS = [
    {"name": "id", "kind": "categorical", "column": "app_id"},
    {"name": "text", "kind": "vector", "column": "embedding"},
    {"name": "cover", "kind": "vector", "file": "covers.npy", "normalize": "none"},
]


def write(directory: pathlib.Path, titles: dict[str, Any]) -> dict[str, str]:
    """Flags of the job."""
    flags = install_data.write_input(directory)
    rows = [{"app_id": key, "embedding": titles.get(key)} for key in KEYS]
    lines = [json.dumps(row) + "\n" for row in rows]
    (directory / "apps.jsonl").write_text("\n".join(lines))  # blank lines are no rows
    np.save(directory / "covers.npy", COVERS)
    spec = {"items": {"key": "app_id"}, "features": FEATURES_OF_APPS}
    (directory / "spec.json").write_text(json.dumps(spec))
    return flags | {
        "apps": f"{directory}/apps.jsonl",
        "features_spec": f"{directory}/spec.json",
    }


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("vectors")
    install_data.make(directory / "data", num_shards=3, **write(directory, TITLES))
    return directory / "data"


def train(data_dir: pathlib.Path, model_dir: pathlib.Path, *more: str) -> None:
    commands.train(
        *commands.small_run(data_dir, model_dir, "--batch_size=2", "--method=fd_fm_so"),
        *("--vector_delta=0.25", "--view_masking=correlated", "--shared_projection=0.5", *more),
    )


@pytest.fixture(scope="module")
def model_dir(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    train(data_dir, path)
    return path


def values(data_dir: pathlib.Path, feature: str) -> dict[str, list[float]]:
    catalog = Dataset(data_dir).catalog(schema.ITEM)
    assert catalog.features[feature].dtype == np.float32
    return dict(zip(catalog.keys, catalog.features[feature].tolist(), strict=True))


def test_vectors_reach_the_catalog(data_dir: pathlib.Path) -> None:
    info = schema.read_dataset_info(data_dir)
    assert info.features[1:] == (Vector("text", max_values=2), Vector("cover", max_values=3))
    assert (info.counters["text_missing"], info.counters["cover_missing"]) == (3, 1)
    assert [pathlib.Path(source["path"]).name for source in info.sources] == [
        "log.csv", "apps.jsonl", "covers.npy"
    ]  # fmt: skip
    none = {key: [0.0, 0.0] for key in "abcdefx"}
    assert values(data_dir, "text") == none | {
        key: np.array(vector, np.float32).tolist() for key, vector in UNIT.items()
    }
    rows = dict(zip(KEYS, COVERS.tolist(), strict=True))
    assert values(data_dir, "cover") == rows | {"x": [0.0, 0.0, 0.0]}


def test_shards_change_nothing(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    info = install_data.make(tmp_path / "data", num_shards=1, **write(tmp_path, TITLES))
    assert info.features == schema.read_dataset_info(data_dir).features
    assert values(tmp_path / "data", "text") == values(data_dir, "text")
    assert values(tmp_path / "data", "cover") == values(data_dir, "cover")


def test_bad_vectors_are_listed_or_left_out(tmp_path: pathlib.Path) -> None:
    flags = write(tmp_path, TITLES | {"b": [1, 2, 3], "c": "1 2"})
    with pytest.raises(InputError) as raised:
        install_data.make(tmp_path / "data", **flags)
    assert "apps.jsonl:3: embedding has 3 numbers, not 2" in str(raised.value)
    assert "apps.jsonl:5: embedding has 1 numbers, not 2" in str(raised.value)
    info = install_data.make(tmp_path / "data", **flags, max_bad_records=2)
    assert info.counters["text_missing"] == 4


def test_another_number_of_rows_ends_the_job(tmp_path: pathlib.Path) -> None:
    flags = write(tmp_path, TITLES)
    np.save(tmp_path / "covers.npy", np.concatenate([COVERS, COVERS]))
    with pytest.raises(InputError, match=r"covers\.npy has 12 rows, and .*apps\.jsonl has 6"):
        install_data.make(tmp_path / "data", **flags)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"column": "v", "file": "v.npy"}, "name a column or a file, not both"),
        ({}, "name the column"),
        ({"column": "v", "normalize": "log"}, r"one of unit, none \(got 'log'\)"),
        ({"column": "v", "size": 1 << 17}, "size must be in"),
        ({"column": "v", "hash_buckets": 3}, "hash_buckets are not for kind vector"),
        ({"column": "app_id"}, "cannot be of vectors and of something else"),
        ({"column": "c", "kind": "dense", "size": 3}, "file and size are for kind vector"),
    ],
)
def test_specs_that_do_not_fit(fields: dict[str, Any], reason: str) -> None:
    feature = {"name": "text", "kind": "vector", **fields}
    with pytest.raises(InputError, match=reason):
        spec_of({"items": {"key": "app_id"}, "features": [feature]})


def test_what_is_recorded_of_other_features_is_as_it_was() -> None:
    spec = spec_of({"features": [{"name": "id", "kind": "categorical", "column": "app_id"}]})
    (recorded,) = spec.recorded()["features"]
    assert recorded["normalize"] == "quantile"
    assert not {"size", "file"} & {*recorded}


def test_users_may_have_vectors(tmp_path: pathlib.Path) -> None:
    flags = write(tmp_path, TITLES)
    with (tmp_path / "users.jsonl").open("w") as file:
        for number in range(1, 5):
            file.write(json.dumps({"user_id": f"u{number}", "taste": [number, 0, 0, 0]}) + "\n")
    spec = json.loads((tmp_path / "spec.json").read_text())
    spec["user_features"] = [{"name": "taste", "kind": "vector", "column": "taste", "size": 4}]
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    options = interactions.InteractionsOptions(
        events=flags["installs"],
        items=flags["apps"],
        users=f"{tmp_path}/users.jsonl",
        features_spec=flags["features_spec"],
        output_dir=f"{tmp_path}/data",
        **install_data.FRACTIONS,
    )
    info = interactions.make_dataset(options)
    assert info.queries is not None
    assert info.queries.features[-1] == Vector("taste", max_values=4)
    queries = Dataset(tmp_path / "data").catalog(schema.QUERY)
    np.testing.assert_array_equal(queries.features["taste"], [[1, 0, 0, 0]] * queries.num_items)
    assert values(tmp_path / "data", "text")["a"] == values(tmp_path / "data", "text")["d"]


def test_a_raw_vector_is_encoded_as_in_the_catalog(model_dir: pathlib.Path) -> None:
    exported = load_export(model_dir)
    assert [feature.rule for feature in exported.info.raw.features] == [  # type: ignore[union-attr]
        "token", "unit_vector", "vector"
    ]  # fmt: skip
    catalog = exported.catalog(schema.ITEM)
    covers = dict(zip(KEYS, COVERS.astype(np.float32).tolist(), strict=True))
    raw = {
        "app_id": tf.constant(catalog.keys.tolist()),
        "embedding": tf.constant([TITLES.get(key, [0, 0]) for key in catalog.keys], tf.float32),
        "cover": tf.constant([covers.get(key, [0, 0, 0]) for key in catalog.keys], tf.float32),
    }
    tower = load_tower(exported.path, schema.ITEM)
    encoded = tower[FEATURES](raw)
    for name in ("id", "text", "cover"):
        np.testing.assert_array_equal(encoded[name], catalog.features[name], name)
    # The trained parts of items with an id are in the export.
    found = tower[RAW](raw)["embedding"]
    np.testing.assert_allclose(found, exported.item_embeddings, atol=1e-6)


def test_a_run_is_resumed_as_if_it_had_gone_on(
    data_dir: pathlib.Path, model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train(data_dir, tmp_path / "run", "--max_epochs=1", "--keep_checkpoints", "--eval_split=none")
    train(data_dir, tmp_path / "run", "--keep_checkpoints")
    straight, resumed = (load_export(path) for path in (model_dir, tmp_path / "run"))
    np.testing.assert_array_equal(resumed.item_embeddings, straight.item_embeddings)


def test_a_delta_needs_vectors_with_an_id(tmp_path: pathlib.Path) -> None:
    install_data.make(tmp_path / "data", **install_data.write_input(tmp_path))
    with pytest.raises(InputError, match=r"needs a feature of kind vector.*id \(categorical\)"):
        train(tmp_path / "data", tmp_path / "run", "--noexclude_query")


def test_new_items_bring_their_vectors(
    model_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.jsonl").write_text(
        '{"app_id": "n1", "embedding": [3, 4], "cover": [0, 1, 2]}\n{"app_id": "n2"}\n'
    )
    flags = [f"--model_dir={model_dir}", f"--items={tmp_path}/new.jsonl"]
    options = command_line.parse(embed.EmbedOptions, *flags, f"--output={tmp_path}/new.npy")
    embed.main(options)
    assert np.load(tmp_path / "new.npy").shape == (2, 8)
    (tmp_path / "new.jsonl").write_text('{"app_id": "n1", "embedding": [3, 4, 5]}\n')
    with pytest.raises(InputError, match=r"new\.jsonl:1: embedding has 3 numbers, not 2"):
        embed.main(options)
    options = command_line.parse(
        recommend.RecommendOptions, f"--model_dir={model_dir}", "--query=a", "--k=2"
    )
    recommend.main(options)
    assert "b" in capsys.readouterr().out


def test_the_server_takes_lists_of_numbers(model_dir: pathlib.Path) -> None:
    models = Models.load([str(model_dir)], verify=False, keep_versions=0)
    limits = Limits(hosts=("testserver",), poll_seconds=1000.0)
    with TestClient(make_app(models, limits)) as client:
        columns = {"embedding": [3, 4], "cover": [0, 1, 2]}
        assert client.post("/v1/recommend", json={"item": columns, "k": 2}).status_code == 200
        shown = client.get("/v1/items/a").json()["features"]
        assert (shown["text"], shown["cover"]) == ([], [])
        kinds = {
            column["name"]: column["kind"]
            for column in client.get("/v1/models").json()["models"][0]["raw"]["columns"]
        }
        assert kinds == {"app_id": "text", "embedding": "vector", "cover": "vector"}
        explained = client.post("/v1/explain", json={"query": columns, "item": "b"}).json()
        assert {one["feature"] for one in explained["features"]} == {"id", "text", "cover"}
        for given, reason in (
            ({"embedding": [3, 4, 5]}, "column 'embedding' has 3 numbers, not 2"),
            ({"embedding": "3 4"}, "column 'embedding' is no list of 2 numbers: '3 4'"),
            ({"app_id": [1, 2]}, "column 'app_id' takes a list of texts, not of numbers"),
            ({"embedding": [1e39, 0]}, "finite numbers of float32"),
            ({"embedding": [1, "a"]}, "a list holds texts only, or numbers only"),
        ):
            answer = client.post("/v1/recommend", json={"item": given})
            assert answer.status_code in (400, 422), answer.text
            assert reason in answer.text
