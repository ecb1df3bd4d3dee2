"""A run that begins with the model of another day, whose dataset numbered its tokens otherwise."""

import json

import numpy as np
import pytest
import tensorflow as tf

from data_prep.encode import Item
from data_prep.write_arrays import write_arrays
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.statistics import statistics_for
from ssl_recsys.errors import InputError
from ssl_recsys.model.embedding import embed_rows
from ssl_recsys.schema import ITEM, PAIR_SPLITS, SIDES
from ssl_recsys.training import warm_start
from ssl_recsys.training.export import load_export
from ssl_recsys.training.steps import make_model
from ssl_recsys.training.train_options import TrainOptions
from tests import command_line, small_dataset
from tests.ssl_recsys import commands

EMBEDDED = ("id", "words", "tags")
NEW = {"id": 7, "words": 3, "tags": 0}  # tokens that the second day adds


def tokens(name, size):
    return [f"{name} {row}" for row in range(1, size)]


@pytest.fixture(name="days", scope="module")
def _days(tmp_path_factory):
    """Two datasets of the same items; on the second day all tokens have other ids."""
    base = tmp_path_factory.mktemp("days")
    small_dataset.write(base / "plain")
    plain = Dataset(base / "plain")
    pairs = {split: tuple(plain.pairs(split)) for split in PAIR_SPLITS}
    rng = np.random.default_rng(3)
    for day in ("first", "second"):
        specs, ids, vocabularies = [], {}, {}
        for spec in plain.info.features:
            if spec.name not in EMBEDDED:
                specs.append(spec)
                continue
            known = tokens(spec.name, spec.vocab_size)
            if day == "second":
                known = list(rng.permutation(known + [f"new {n}" for n in range(NEW[spec.name])]))
            place = {token: row for row, token in enumerate(known, start=1)}
            old = ["", *tokens(spec.name, spec.vocab_size)]
            ids[spec.name] = np.array([place.get(token, 0) for token in old])
            vocabularies[spec.name] = known
            specs.append(type(spec)(**{**vars(spec), "vocab_size": len(known) + 1}))
        write_arrays(str(base / day), day, list(items(plain, ids)), pairs, specs, vocabularies)
    return base


def items(plain, ids):
    catalog = plain.catalog(ITEM)
    for row in range(catalog.num_items):
        values = {}
        for name, column in catalog.features.items():
            kept = column[row][column[row] > 0] if name in ("words", "tags") else column[row]
            values[name] = ids[name][kept].tolist() if name in ids else kept.tolist()
        yield Item(catalog.keys[row], catalog.titles[row], int(catalog.train_count[row]), values)


@pytest.fixture(name="old", scope="module")
def _old(days):
    flags = ("--method=fd_fm", "--keep_checkpoints", "--eval_split=none", "--max_epochs=2")
    commands.train(*commands.small_run(days / "first", days / "old", *flags))
    return days / "old"


def options(days, *more):
    flags = commands.small_run(days / "second", days / "new", "--method=fd_fm", *more)
    return command_line.parse(TrainOptions, *flags)


def carried(days, old, *more, strategy=None):
    config, dataset = options(days, *more).run, Dataset(days / "second")
    features = {side: dataset.features(side) for side in SIDES}
    strategy = strategy or tf.distribute.get_strategy()
    model = make_model(features, config, strategy, statistics_for(config, dataset, {}))
    return model, dataset, warm_start.carry(model, dataset, old)


def test_the_same_items_have_the_same_embeddings(days, old):
    model, dataset, report = carried(days, old)
    found = embed_rows(lambda features: model.embed(ITEM, features), dataset.catalog(ITEM))
    np.testing.assert_allclose(found, load_export(old).item_embeddings, rtol=1e-5, atol=1e-6)
    assert report == {"id": (108, 101, 101), "words": (44, 41, 41), "tags": (17, 17, 17)}
    assert model.optimizer.iterations.numpy() == 0


def test_accumulators_are_carried_and_new_rows_begin_as_the_unknown_token(days, old):
    model, dataset, _ = carried(days, old)
    newest = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(old / "checkpoints")))
    vocabulary = (dataset.data_dir / "vocab" / "id.txt").read_text().split()[1::2]
    is_new = np.array([False, *("new" in line for line in lines(dataset, "id"))])
    before = np.array(
        [0, *(0 if new else int(n) for new, n in zip(is_new[1:], vocabulary, strict=True))]
    )
    path = "model/feature_embeddings/id/.OPTIMIZER_SLOT/optimizer/accumulator/.ATTRIBUTES/"
    expected = newest.get_tensor(path + "VARIABLE_VALUE")[before]
    expected[is_new] = 0.1  # TensorFlow's initial value
    table = model.feature_embeddings.tables["id"]
    np.testing.assert_array_equal(model.optimizer.get_slot(table, "accumulator"), expected)
    values = table.numpy()
    np.testing.assert_array_equal(values[is_new], np.repeat(values[:1], NEW["id"], axis=0))
    dense = model.towers[ITEM].trainable_variables[0]
    assert np.ptp(model.optimizer.get_slot(dense, "accumulator").numpy()) > 0


def test_sharded_tables_begin_with_the_same_rows(days, old, three_replicas):
    whole, _, expected = carried(days, old)
    sharded, _, report = carried(days, old, "--shard_tables", strategy=three_replicas)
    assert report == expected
    for name, table in whole.feature_embeddings.tables.items():
        other = sharded.feature_embeddings.tables[name]
        np.testing.assert_array_equal(other.numpy(), table.numpy())
        slots = [
            model.optimizer.get_slot(variable, "accumulator").numpy()
            for model, variable in ((sharded, other), (whole, table))
        ]
        np.testing.assert_array_equal(*slots)


def lines(dataset, name):
    return (dataset.data_dir / "vocab" / f"{name}.txt").read_text().splitlines()


def test_the_command_begins_above_a_new_model(days, old, capsys):
    """Before it has learnt from the second day; a step rate of nearly 0 shows where it begins."""
    recalls = {}
    for name, more in (("carried", f"--init_from={old}"), ("new", "--seed=1")):
        flags = ("--method=fd_fm", "--learning_rate=1e-9", "--max_epochs=1", more)
        commands.train(*commands.small_run(days / "second", days / name, *flags))
        history = json.loads((days / name / "history.json").read_text())
        recalls[name] = history[0]["validation_recall@10"]
    assert recalls["carried"] > 2 * recalls["new"]
    assert f"from {old}: id: 108 rows, 101 carried, 7 new; accumulators carried" in (
        capsys.readouterr().out
    )
    report = json.loads((days / "carried" / "init_from.json").read_text())
    assert report["words"] == {"rows": 44, "carried": 41, "with_accumulator": 41}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--embedding_dim=4"], r"other layers|have 8 columns, not the 4 of --embedding_dim"),
        (["--hidden_layers=12,8"], "has other layers than this run; give the same"),
    ],
)
def test_another_model_is_refused(days, old, flags, message):
    with pytest.raises(InputError, match=message):
        carried(days, old, *flags)


def test_other_features_are_refused_before_anything_is_written(days, old):
    info = Dataset(days / "second").info
    other = type(info)(**{**vars(info), "features": info.features[:-1]})
    with pytest.raises(InputError, match=r"other features \(item: quality, query: quality\)"):
        warm_start.check(other, old)
    with pytest.raises(FileNotFoundError, match="holds no trained model"):
        commands.train(
            *commands.small_run(days / "second", days / "none", f"--init_from={days / 'x'}")
        )
    assert not (days / "none").exists()
