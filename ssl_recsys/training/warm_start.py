"""Starting a run from a model of another day, trained on an earlier dataset.

A new dataset numbers its tokens anew. So rows of embedding tables are carried by token, not by
number; rows of tokens that the old model did not know begin as its row of unknown tokens, for
which it took them until now. Everything else is carried as it is.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ssl_recsys import files, manifest, paths, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError, printable
from ssl_recsys.features import FeatureSpec
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import SIDES
from ssl_recsys.training import run_dir

REPORT_FILE = "init_from.json"
_VALUE = ".ATTRIBUTES/VARIABLE_VALUE"
_SLOT = ".OPTIMIZER_SLOT/optimizer/accumulator"


class Carried(NamedTuple):
    """What became of a table's rows.

    Attributes:
      rows: of the new table, row 0 (no token, or an unknown one) included.
      carried: of them, those that the old table had.
      with_accumulator: of them, those whose Adagrad accumulator was carried, too.
    """

    rows: int
    carried: int
    with_accumulator: int


def carry(model: TwoTowerModel, dataset: Dataset, old: pathlib.Path) -> dict[str, Carried]:
    """Gives a new model the weights of an old one that validated best.

    The optimizer's accumulators, and encoders that only self-supervised tasks have, are those of
    the old run's last step; they are there if it kept its checkpoints, and new if not.

    Args:
      model: of `make_model`, before its first step.
      dataset: what it will be trained on.
      old: directory of a finished run with the same features and layers.

    Returns:
      What was carried, by table.

    Raises:
      InputError: if there is no finished run, or its features or layers are others.
    """
    export, before = check(dataset.info, old)
    # TensorFlow's own choice of the newest, as nothing is resumed here.
    newest = tf.train.latest_checkpoint(str(old / run_dir.CHECKPOINT_DIR))
    if newest is not None:
        _restore_dense(model, newest, old)
    slots = None if newest is None else tf.train.load_checkpoint(newest)
    carried = {}
    for side in SIDES:
        saved = tf.train.load_checkpoint(str(export / f"{side}_tower" / "variables" / "variables"))
        shapes = saved.get_variable_to_shape_map()
        for index, variable in enumerate(model.towers[side].variables):
            key = f"tower/variables/{index}/{_VALUE}"
            if shapes.get(key) != variable.shape.as_list():
                raise _other_layers(old)
            variable.assign(saved.get_tensor(key))
        for spec in dataset.features(side):
            if spec.is_embedded and not spec.table and spec.name not in carried:
                matched = _match_rows(
                    (spec, before.feature(spec.name)),
                    _tokens(dataset.data_dir, spec.name),
                    _tokens(export, spec.name),
                )
                carried[spec.name] = _carry_table(model, spec.name, saved, slots, matched)
    model.optimizer.iterations.assign(0)
    return carried


def check(info: schema.DatasetInfo, old: pathlib.Path) -> tuple[pathlib.Path, schema.DatasetInfo]:
    """The export directory of a run that `carry` can begin with, and what it was trained on.

    Raises:
      InputError: as `carry`, but for layers.
    """
    export = run_dir.finished_run(old)
    manifest.check(export)
    before = schema.read_dataset_info(export)
    _check_same_features(info, before, old)
    return export, before


def begin(
    model: TwoTowerModel, dataset: Dataset, old: str, model_dir: pathlib.Path, writes: bool
) -> None:
    """Carries weights; where it may write, says so and writes a report."""
    carried = carry(model, dataset, paths.as_path(old))
    if not writes:
        return
    for name, (rows, kept, with_accumulator) in carried.items():
        accumulators = "carried" if with_accumulator else "new"
        print(
            f"from {old}: {printable(name)}: {rows:,} rows, {kept:,} carried, {rows - kept:,} new; "
            f"accumulators {accumulators}",
            flush=True,
        )
    report = {name: table._asdict() for name, table in carried.items()}
    files.write_json(model_dir / REPORT_FILE, report)


def _check_same_features(new: schema.DatasetInfo, old: schema.DatasetInfo, run: Any) -> None:
    def layout(info: schema.DatasetInfo) -> dict[str, Any]:
        return {
            f"{side}: {spec.name}": (spec.kind, spec.is_embedded or spec.max_values)
            for side in SIDES
            for spec in info.features_of(side)
        }

    if layout(new) != layout(old):
        different = sorted(set(layout(new).items()) ^ set(layout(old).items()), key=str)
        raise InputError(
            f"--init_from={run} was trained on other features "
            f"({', '.join(sorted({name for (name, _) in different}))}); make the datasets with "
            "the same features, or train from the beginning"
        )


def _restore_dense(model: TwoTowerModel, checkpoint: str, old: pathlib.Path) -> None:
    """All but the tables, with accumulators; their shapes do not depend on the dataset."""
    parts = {
        name: part
        for name in ("towers", "ssl_tasks", "shared_projections")
        if (part := getattr(model, name))
    }
    root = tf.train.Checkpoint(model=tf.train.Checkpoint(**parts), optimizer=model.optimizer)
    try:
        root.restore(checkpoint).expect_partial()
    except ValueError as error:
        raise _other_layers(old) from error


def _match_rows(
    specs: tuple[FeatureSpec, FeatureSpec], tokens: Sequence[str], old_tokens: Sequence[str]
) -> np.ndarray:
    """`[vocab_size]` row of each new row in the old table, 0 where there is none.

    Rows that tokens share are matched one by one if there are as many of them as before.
    """
    spec, before = specs
    place = {token: row for row, token in enumerate(old_tokens, start=1)}
    rows = [place.get(token, 0) for token in tokens]
    shared = np.zeros(spec.hash_buckets, np.int64)
    if spec.hash_buckets == before.hash_buckets:
        shared = before.num_tokens + 1 + np.arange(spec.hash_buckets)
    return np.concatenate([np.array([0, *rows], np.int64), shared])


def _tokens(directory: pathlib.Path, name: str) -> Sequence[str]:
    path = schema.vocab_path(directory, name)
    if not path.is_file():
        raise InputError(f"{path} is missing: without a vocabulary no row can be carried")
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _carry_table(
    model: TwoTowerModel, name: str, saved: Any, slots: Any, matched: np.ndarray
) -> Carried:
    table = model.feature_embeddings.tables[name]
    path = f"feature_embeddings/{name}"
    old = saved.get_tensor(f"{path}/{_VALUE}")
    if old.shape[1] != table.shape[1]:
        raise InputError(
            f"the embeddings of {name!r} in --init_from have {old.shape[1]} columns, not the "
            f"{table.shape[1]} of --embedding_dim"
        )
    known = matched > 0
    known[0] = True
    table.assign(tf.cast(old[matched], table.dtype))
    key, with_accumulator = f"model/{path}/{_SLOT}/{_VALUE}", 0
    if slots is not None and slots.has_tensor(key):
        accumulator = model.optimizer.get_slot(table, "accumulator")
        there = slots.get_tensor(key)
        if there.shape[1:] == accumulator.shape[1:]:  # row-wise or not, as now
            accumulator.assign(np.where(known[:, np.newaxis], there[matched], accumulator.numpy()))
            with_accumulator = int(known.sum())
    return Carried(len(matched), int(known.sum()), with_accumulator)


def _other_layers(old: pathlib.Path) -> InputError:
    return InputError(
        f"--init_from={old} has other layers than this run; give the same --hidden_layers, "
        "--sub_towers, --shared_projection and self-supervised tasks, or train from the beginning"
    )
