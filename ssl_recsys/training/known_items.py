"""Items that are known of a query: those of its user's training pairs, which no export holds."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from ssl_recsys import files, paths, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.left_out import LeftOut
from ssl_recsys.training import run_dir
from ssl_recsys.training.export import Exported


def training_pairs(
    model_dir: str | os.PathLike[str], exported: Exported, data_dir: str = ""
) -> Pairs:
    """The training pairs of the dataset that a model was trained on.

    Args:
      model_dir: the run's directory.
      exported: the run.
      data_dir: the dataset's directory; empty: the one that the run was given.

    Raises:
      InputError: if the dataset is not there, or is another one.
    """
    if not data_dir:
        config = paths.as_path(model_dir) / run_dir.CONFIG_FILE
        if not config.is_file():
            raise InputError(
                f"--exclude_known needs the dataset: {config} is missing, give --data_dir"
            )
        data_dir = files.read_json(config)["data_dir"]
    dataset = Dataset(data_dir)
    if schema.to_json(dataset.info) != schema.to_json(exported.info):
        raise InputError(
            f"{model_dir} was not trained on the dataset {data_dir}; give its own with --data_dir"
        )
    return dataset.pairs(schema.TRAIN)


def left_out(exported: Exported, query_row: npt.NDArray[np.integer], known: Pairs) -> LeftOut:
    """The items of known pairs of the queries' users.

    Args:
      exported: the run.
      query_row: `[num_queries]` rows of the query side's catalog; -1 for items that were added.
      known: the pairs.
    """
    owner = _owners(exported)
    by_owner = np.argsort(owner[known.query_row], kind="stable")
    sorted_owner = owner[known.query_row][by_owner]
    wanted = np.where(query_row >= 0, owner[query_row], -1)
    begin, end = (np.searchsorted(sorted_owner, wanted, side=side) for side in ("left", "right"))
    query = np.repeat(np.arange(len(query_row)), end - begin)
    first = np.repeat(begin - np.concatenate([[0], np.cumsum(end - begin)[:-1]]), end - begin)
    item_row = known.item_row[by_owner[first + np.arange(len(query))]]
    return LeftOut.joined([LeftOut(query, item_row)], exported.info.num_items)


def _owners(exported: Exported) -> npt.NDArray[np.integer]:
    """Whose each query is: its user's, or that of the item that it is."""
    catalog = exported.catalog(schema.QUERY)
    if not exported.info.queries:
        return np.arange(catalog.num_items)
    return catalog.users()
