"""Datasets whose queries are no items: users' histories, with a table that both sides read."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys import evaluate, recommend, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.features import Bag, Categorical, Dense
from ssl_recsys.model.look_up import FeatureEmbeddings
from ssl_recsys.model.tables import RowGradients, gather_rows
from ssl_recsys.training import known_items, run
from ssl_recsys.training.export import load_export
from tests import command_line, query_dataset
from tests.ssl_recsys import commands


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("histories") / "data"
    query_dataset.write(directory)
    return directory


@pytest.fixture(scope="module")
def trained(histories: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    model_dir = tmp_path_factory.mktemp("run") / "model"
    options = ("--method=fd", "--ssl_side=both", "--max_epochs=12", "--batch_size=16")
    commands.train(*commands.small_run(histories, model_dir), *options)
    return model_dir


def test_each_side_has_its_catalog_and_features(histories: pathlib.Path) -> None:
    dataset = Dataset(histories)
    items, queries = dataset.catalog(schema.ITEM), dataset.catalog(schema.QUERY)
    assert (items.num_items, queries.num_items) == (60, dataset.info.num_rows(schema.QUERY))
    assert [*items.features] == ["id", "words"]
    assert [*queries.features] == ["history", "country"]
    assert dataset.info.own_item_rows(np.arange(3)) is None
    written = json.loads((histories / "dataset.json").read_text())
    assert written["queries"]["features"][0]["table"] == "id"
    assert schema.read_dataset_info(histories) == dataset.info


def test_item_to_item_datasets_say_nothing_of_queries(data_dir: pathlib.Path) -> None:
    written = json.loads((data_dir / "dataset.json").read_text())
    assert "queries" not in written
    assert all("table" not in feature for feature in written["features"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Bag("history", vocab_size=9, table="id"), "vocab_size 9"),
        (Bag("history", vocab_size=10, table="words"), "history reads the table of 'words'"),
        (Categorical("id", vocab_size=10), "names of item and query features"),
    ],
)
def test_features_that_cannot_share_are_refused(spec: Bag, message: str) -> None:
    features = (Categorical("id", vocab_size=10),)
    with pytest.raises(InputError, match=message):
        schema.DatasetInfo("d", features, 3, {}, queries=schema.QueryCatalog(2, (spec,)))


def test_rows_that_two_features_read_have_one_gradient() -> None:
    table = tf.Variable(np.arange(12, dtype=np.float32).reshape(6, 2))
    with tf.GradientTape() as tape, RowGradients(tape) as rows:
        first = gather_rows(table, tf.constant([1, 3]), None)
        second = gather_rows(table, tf.constant([3, 5]), None)
        loss = tf.reduce_sum(first) + 10.0 * tf.reduce_sum(second)
    ((gradient, variable),) = rows.with_tables(tape.gradient(loss, rows.sources))
    assert variable is table
    dense = tf.convert_to_tensor(gradient).numpy()
    np.testing.assert_array_equal(dense[:, 0], [0, 1, 0, 11, 0, 10])


def test_training_learns_what_users_like(trained: pathlib.Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["num_pairs"] == query_dataset.NUM_USERS
    assert (
        metrics["overall"]["recall@10"]
        > 2 * (metrics["baselines"]["top_popular"]["overall"]["recall@10"])
    )


def test_the_export_has_both_catalogs(histories: pathlib.Path, trained: pathlib.Path) -> None:
    exported, dataset = load_export(trained), Dataset(histories)
    for side in schema.SIDES:
        mine, theirs = exported.catalog(side), dataset.catalog(side)
        assert mine.keys.tolist() == theirs.keys.tolist()
        for name, values in theirs.features.items():
            np.testing.assert_array_equal(mine.features[name], values)


def test_recommendations_for_a_history(
    histories: pathlib.Path, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "recommended.jsonl"
    recommend.main(
        command_line.parse(
            recommend.RecommendOptions,
            f"--model_dir={trained}",
            "--query=user 3@1",
            "--random_queries=2",
            "--k=5",
            "--exclude_known",
            "--format=json",
            f"--output={output}",
        )
    )
    first, *others = map(json.loads, output.read_text().splitlines())
    assert (first["query"], first["title"], len(others)) == ("user 3@1", "user 3", 2)
    pairs, catalog = Dataset(histories).pairs(schema.TRAIN), Dataset(histories).catalog(schema.ITEM)
    row = Dataset(histories).catalog(schema.QUERY).keys.tolist().index("user 3@1")
    known = set(catalog.keys[pairs.item_row[pairs.query_row == row]])
    assert known
    assert not known & {item["key"] for item in first["items"]}
    assert len(first["items"]) == 5


@pytest.mark.parametrize("flag", ["--shared_projection=1", "--exclude_query"])
def test_settings_of_queries_that_are_items_are_refused(
    histories: pathlib.Path, tmp_path: pathlib.Path, flag: str
) -> None:
    with pytest.raises(InputError, match="for datasets whose queries are items"):
        commands.train(*commands.small_run(histories, tmp_path / "run", flag))


def test_recency_weighs_histories_alone() -> None:
    history, words = [7, 3, 9, 0, 0], [4, 2, 0, 0, 0, 0]
    country, item = tf.constant([[2]]), tf.constant([[5]])
    batches = [
        (schema.QUERY, {"history": tf.constant([history]), "country": country}),
        (schema.ITEM, {"id": item, "words": tf.constant([words])}),
    ]
    features = {schema.QUERY: query_dataset.QUERY_SPECS, schema.ITEM: query_dataset.ITEM_SPECS}
    for static_shapes in (False, True):
        layer = FeatureEmbeddings(
            features, 4, static_shapes=static_shapes, pooling="sqrtn", recency_half_life=2.0
        )
        query, items = layer(batches)
        ids, words_table = layer.tables["id"].numpy(), layer.tables["words"].numpy()
        # Half as much after two places; the norm is the root of 1 + 1/2 + 1/4.
        weighed = ids[7] + ids[3] / np.sqrt(2) + ids[9] / 2
        np.testing.assert_allclose(
            query.activations["history"], [weighed / np.sqrt(1.75)], rtol=1e-5
        )
        # A view without the latest item: the others keep their weights.
        keep = tf.constant([[False, True, True, True, True]])
        np.testing.assert_allclose(
            query.without_values("history", keep),
            [(ids[3] / np.sqrt(2) + ids[9] / 2) / np.sqrt(0.75)],
            rtol=1e-5,
        )
        plain = (words_table[4] + words_table[2]) / np.sqrt(2)
        np.testing.assert_allclose(items.activations["words"], [plain], rtol=1e-5)


def test_recency_needs_histories(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="the queries of small have none"):
        commands.train(*commands.small_run(data_dir, tmp_path / "run", "--recency_half_life=3"))


def test_known_items_are_left_out_and_slices_tell_who_is_known(
    histories: pathlib.Path, trained: pathlib.Path
) -> None:
    exported, dataset = load_export(trained), Dataset(histories)
    known = known_items.training_pairs(trained, exported)
    left_out = known_items.left_out(exported, exported.pairs(schema.TEST).query_row, known)
    users, train = dataset.catalog(schema.QUERY).titles, dataset.pairs(schema.TRAIN)
    test = dataset.pairs(schema.TEST)
    expected = {
        (place, int(item))
        for place, query in enumerate(test.query_row)
        for owner, item in zip(train.query_row, train.item_row, strict=True)
        if users[owner] == users[query]
    }
    assert set(zip(left_out.query.tolist(), left_out.item_row.tolist(), strict=True)) == expected

    shown = run.evaluate(exported, schema.TEST, known=known)
    hidden = run.evaluate(exported, schema.TEST)
    assert (shown["known_excluded"], hidden["known_excluded"]) == (True, False)
    assert shown["overall"]["recall@10"] >= hidden["overall"]["recall@10"]
    sizes = {name: part["num_pairs"] for name, part in shown["slices"].items()}
    cold = sum(dataset.catalog(schema.ITEM).train_count[test.item_row] == 0)
    assert sizes["cold items"] == cold
    assert sizes["warm items"] == len(test.item_row) - cold
    assert (sizes["warm users"], sizes["cold users"]) == (len(test.item_row), 0)


def test_queries_of_which_only_some_features_are_known(
    histories: pathlib.Path, trained: pathlib.Path
) -> None:
    exported = load_export(trained)
    queries = exported.catalog(schema.QUERY)
    found = exported.query_embeddings(np.array([0, 7, 9]), only=("history",))
    features = {name: values[[0, 7, 9]] for name, values in queries.features.items()}
    plain = exported.query_tower({**features, "country": np.zeros((3, 1), np.int32)})
    np.testing.assert_array_equal(found, plain)
    with pytest.raises(InputError, match="--query_only=words: queries have history, country"):
        evaluate.main(
            command_line.parse(
                evaluate.EvaluateOptions, f"--model_dir={trained}", "--query_only=words"
            )
        )


def test_a_missing_number_has_its_mark() -> None:
    values = np.array([[0.5, 0], [2, 0]], np.float32)
    assert Dense("age", max_values=2).missing_like(values).tolist() == [[0, 1], [0, 1]]
    assert Dense("vector", max_values=3).missing_like(values).tolist() == [[0, 0], [0, 0]]
