"""Everything a user can get wrong ends with its own message, status 2, and nothing written."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from data_prep import encode
from ssl_recsys import files, schema
from ssl_recsys.config.loss import LossConfig
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import load_pairs
from ssl_recsys.errors import InputError
from ssl_recsys.features import feature_spec
from ssl_recsys.methods import parse_fm_groups, resolve_fm_groups
from ssl_recsys.schema import ITEM
from tests.small_dataset import SPECS
from tests.ssl_recsys import commands

ROOMS = ("ssl_recsys", "data_prep", "pipelines", "benchmarks")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--method=simclr", "--method must be one of baseline, do, so, fd"),
        ("--method=fd --dropout_rate=1.5", "dropout_rate must be in [0, 1) (got 1.5)"),
        ("--method=fm --fm_groups=id;colour", "'colour', which the dataset lacks"),
        ("--data_dir=/nowhere/at/all", "is not a dataset directory"),
        ("--flagfile=/nowhere.flags", "no flag file /nowhere.flags"),
        ("stray", "unexpected argument 'stray'"),
    ],
)
def test_train_refuses(
    argument: str, message: str, data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model_dir = tmp_path / "run"
    done = commands.run(
        "ssl_recsys.train", *commands.small_run(data_dir, model_dir, *argument.split())
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not model_dir.exists()


@pytest.mark.parametrize("module", ["ssl_recsys.evaluate", "ssl_recsys.recommend"])
def test_commands_say_how_to_make_a_model(module: str, tmp_path: pathlib.Path) -> None:
    more = ["--query=x"] if module.endswith("recommend") else []
    done = commands.run(module, f"--model_dir={tmp_path}", *more)
    assert done.returncode == 2
    assert "holds no trained model; train one first: python -m ssl_recsys.train" in done.stderr


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TowerConfig(embedding_dim=0), r"embedding_dim must be at least 1 \(got 0\)"),
        (lambda: TowerConfig(hidden_layers=(8, 0)), "hidden_layers"),
        (lambda: TowerConfig(hidden_layers=(), sub_towers=2), "sub_towers differ by their"),
        (lambda: LossConfig(temperature=0), "temperature must be greater than 0"),
        (lambda: LossConfig(alpha=-1), "alpha must be at least 0"),
        (lambda: LossConfig(logq_form="corrected"), "logq_form=corrected needs --logq_correction"),
        (lambda: SSLConfig(method="x"), "method must be one of baseline, do"),
        (lambda: SSLConfig(dropout_granularity="x"), "one of feature, value"),
        (lambda: SSLConfig(spread_out="x"), "one of softmax, squared"),
        (lambda: SSLConfig(ssl_side="x"), "ssl_side must be one of item, query, both"),
        (lambda: SSLConfig(ssl_items="x"), "ssl_items must be one of batch, catalog"),
        (lambda: SSLConfig(method="fm", fm_groups=(("id",),)), "at least two groups"),
        (lambda: SSLConfig(method="fm", fm_groups=(("id",), ("id",))), "id more than once"),
        (lambda: SSLConfig(method="fm", fm_groups=parse_fm_groups("id;;*")), "empty group"),
        (lambda: TrainingConfig(batch_size=1), "batch_size must be at least 2"),
        (lambda: TrainingConfig(train_fraction=0), r"train_fraction must be in \(0, 1\]"),
        (lambda: TrainingConfig(strategy="x"), "strategy must be one of auto"),
        (
            lambda: resolve_fm_groups((("id", "words"), ("tags", "quality"), ("*",)), SPECS),
            "has no feature left",
        ),
        (
            lambda: resolve_fm_groups((("id", "colour"), ("*",)), SPECS),
            r"names the feature 'colour'.*pass --fm_groups='id;\*'",
        ),
        (
            lambda: resolve_fm_groups((("colour",), ("words",), ("tags", "size")), SPECS),
            "'colour'.*pass --fm_groups='words;tags'",
        ),
        (
            lambda: resolve_fm_groups((("colour",), ("words",)), SPECS),
            r"pass --fm_groups='id;\*'",
        ),
        (lambda: resolve_fm_groups((("colour",), ("*",)), SPECS[:1]), "--method without it"),
        (lambda: feature_spec("Id", "categorical", 3), "lower-case"),
        (lambda: feature_spec("row", "categorical", 3), "taken by a catalog column"),
        (lambda: feature_spec("id", "onehot", 3), "kind must be one of"),
        (lambda: schema.HeadRule("top_fraction", 1.0), r"head fraction must be in \(0, 1\)"),
    ],
)
def test_value_out_of_range(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.fixture
def damaged(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy without a manifest, as an earlier version wrote it: damage is found by reading."""
    copy = pathlib.Path(shutil.copytree(data_dir, tmp_path / "data"))
    (copy / files.MANIFEST_FILE).unlink(missing_ok=True)
    return copy


def test_wrong_data_version(damaged: pathlib.Path) -> None:
    path = damaged / schema.DATASET_FILE
    path.write_text(path.read_text().replace(schema.FORMAT_VERSION, "0.1.0"))
    with pytest.raises(InputError, match=r"format version .0\.1\.0., this program reads"):
        Dataset(damaged).catalog(ITEM)


def test_damaged_dataset_json(damaged: pathlib.Path) -> None:
    (damaged / schema.DATASET_FILE).write_text('{"format_version": "1.0.0"')
    with pytest.raises(InputError, match="is damaged"):
        Dataset(damaged).catalog(ITEM)


@pytest.mark.parametrize("cut", [True, False])
def test_corrupt_records_name_their_file(damaged: pathlib.Path, cut: bool) -> None:
    path = next((damaged / schema.PAIRS_DIR).glob("*train*tfrecord*"))
    content = bytearray(path.read_bytes())
    if cut:
        path.write_bytes(content[:-7])
    else:
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path.name} is corrupt behind its first"):
        load_pairs(damaged, "train")


def test_corrupt_record_stops_train_before_it_writes(
    damaged: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = next((damaged / schema.CATALOG_DIR).glob("*tfrecord*"))
    path.write_bytes(path.read_bytes()[:-3])
    model_dir = tmp_path / "run"
    done = commands.run("ssl_recsys.train", *commands.small_run(damaged, model_dir))
    assert done.returncode == 2, done.stderr
    assert f"error: {path} is corrupt" in done.stderr
    assert not model_dir.exists()


def read_records(path: pathlib.Path) -> list[bytes]:
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def write_records(path: pathlib.Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def rewrite_catalog(directory: pathlib.Path, **changes: object) -> None:
    """Replaces the second record by one with other columns."""
    path = next((directory / schema.CATALOG_DIR).glob("*tfrecord*"))
    values = {"id": [2], "words": [3], "tags": [], "quality": [0.0, 1.0]}
    columns = {"row": 1, "key": "item 1", "title": "", "train_count": 0, **changes}
    record = encode.item_record(**columns, values=values, features=SPECS)  # type: ignore[arg-type]
    records = read_records(path)
    records[1] = record
    write_records(path, records)


def test_duplicate_keys(damaged: pathlib.Path) -> None:
    rewrite_catalog(damaged, key="item 0")
    with pytest.raises(InputError, match="has the key 'item 0' 2 times"):
        Dataset(damaged).catalog(ITEM)


def test_rows_out_of_order(damaged: pathlib.Path) -> None:
    rewrite_catalog(damaged, row=7)
    with pytest.raises(InputError, match="does not hold the rows 0 to 119 in order"):
        Dataset(damaged).catalog(ITEM)


def test_ids_beyond_the_vocabulary(damaged: pathlib.Path) -> None:
    path = damaged / schema.DATASET_FILE
    path.write_text(path.read_text().replace('"vocab_size": 101', '"vocab_size": 50'))
    with pytest.raises(InputError, match="feature id must be between 0 and 49"):
        Dataset(damaged).catalog(ITEM)


def test_unknown_split(data_dir: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"no split 'dev' \(splits: train, validation, test\)"):
        load_pairs(data_dir, "dev")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_pairs_cut_between_records_are_noticed(damaged: pathlib.Path, split: str) -> None:
    path = next((damaged / schema.PAIRS_DIR).glob(f"*{split}*tfrecord*"))
    write_records(path, read_records(path)[:-1])
    dataset = Dataset(damaged)
    with pytest.raises(InputError, match=rf"{split} pairs, and dataset\.json announces"):
        dataset.pairs(split)
    if split == "train":
        with pytest.raises(InputError, match=r"train pairs, and dataset\.json announces"):
            dataset.training_pairs(batch_size=64, seed=0)


def legacy(name: str) -> dict:
    """JSON in text within JSON, which TFDS reads too."""
    inner = {"type": name, "content": {}}
    return {
        "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
        "jsonFeature": {"json": json.dumps({"row": inner})},
    }


@pytest.mark.parametrize(
    "foreign",
    [
        lambda name: {"pythonClassName": name, "text": {}},
        lambda name: {"python_class_name": name, "text": {}},
        lambda name: {"type": name, "content": {}},
        legacy,
    ],
)
@pytest.mark.parametrize("folder", [schema.CATALOG_DIR, schema.PAIRS_DIR])
def test_a_dataset_cannot_have_modules_imported(
    folder: str, foreign, damaged: pathlib.Path, tmp_path: pathlib.Path, monkeypatch
) -> None:
    (tmp_path / "some_module.py").write_text("raise SystemExit('was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    path = damaged / folder / "features.json"
    content = json.loads(path.read_text())
    name = next(iter(content["featuresDict"]["features"]))
    content["featuresDict"]["features"][name] = foreign("some_module.Feature")
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"some_module.*TFDS could import; load only datasets"):
        Dataset(damaged).catalog(ITEM) if folder == schema.CATALOG_DIR else load_pairs(
            damaged, "train"
        )


@pytest.mark.parametrize("template", ["../other/{SPLIT}.tfrecord-{SHARD_X_OF_Y}", "/etc/{SPLIT}"])
def test_a_dataset_cannot_have_files_elsewhere_read(template: str, damaged: pathlib.Path) -> None:
    path = damaged / schema.PAIRS_DIR / "dataset_info.json"
    usual = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    path.write_text(path.read_text().replace(usual, template))
    with pytest.raises(InputError, match="outside itself"):
        load_pairs(damaged, "train")


def test_pickled_arrays_are_refused(tmp_path: pathlib.Path) -> None:
    """NumPy's default, which no call of ours changes; a data job reads only what it has written."""
    np.save(tmp_path / "a.npy", np.array([{"any": "object"}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "a.npy")
    sources = [path for room in ROOMS for path in (commands.ROOT / room).rglob("*.py")]
    assert len(sources) > 80
    for path in sources:
        if path.name == "spill.py":
            continue  # its directory is made by the job, for its user alone
        assert not re.search(r"allow_pickle|\bpickle\b|\bdill\b|yaml\.load", path.read_text()), path
