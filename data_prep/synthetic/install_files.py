"""Made-up installs as a log and an item table in CSV."""

from __future__ import annotations

import csv
import io
import os
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv

from data_prep.compressed import write_compressed
from data_prep.synthetic.install_world import App, InstallWorld

LOG_FILE, ITEMS_FILE = "installs.csv.gz", "apps.csv"
_APPS_PER_BLOCK = 16_384


def write_log(directory: str | os.PathLike[str], world: InstallWorld, num_events: int) -> None:
    """Writes `user_id,app_id,timestamp` to `installs.csv.gz` in `directory`."""
    with write_compressed(pathlib.Path(directory) / LOG_FILE) as stream:
        stream.write(b"user_id,app_id,timestamp\n")
        options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
        for events in world.events(num_events):
            apps, coded = np.unique(events.app, return_inverse=True)
            keys = pa.DictionaryArray.from_arrays(pa.array(coded), pa.array(world.keys(apps)))
            table = pa.table(
                {
                    "user_id": events.user,
                    "app_id": keys.dictionary_decode(),
                    "timestamp": events.seconds.astype(np.int64),
                }
            )
            text = io.BytesIO()
            pa.csv.write_csv(table, text, options)
            stream.write(text.getbuffer())


def write_items(directory: str | os.PathLike[str], world: InstallWorld) -> int:
    """Writes the item table to `apps.csv` in `directory`, and returns its number of rows."""
    count = 0
    with write_compressed(pathlib.Path(directory) / ITEMS_FILE) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(App._fields)
        for start in range(0, world.num_items, _APPS_PER_BLOCK):
            block = np.arange(start, min(start + _APPS_PER_BLOCK, world.num_items))
            rows = world.apps(block)
            writer.writerows(rows)
            count += len(rows)
        text.flush()
        text.detach()
    return count
