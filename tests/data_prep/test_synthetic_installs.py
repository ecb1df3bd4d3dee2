"""Made-up installs: unlike keys, a long tail, structure to learn, new items over time."""

import csv
import gzip

import numpy as np
import pytest

from data_prep.synthetic.draws import Draws
from data_prep.synthetic.groups import Groups
from data_prep.synthetic.install_files import ITEMS_FILE, LOG_FILE, write_items, write_log
from data_prep.synthetic.install_world import Events, InstallWorld
from ssl_recsys.errors import InputError

NUM_ITEMS = 1000


@pytest.fixture(scope="module")
def world():
    return InstallWorld(NUM_ITEMS, seed=2)


@pytest.fixture(scope="module")
def events(world):
    return Events(*(np.concatenate(part) for part in zip(*world.events(60_000), strict=True)))


@pytest.mark.parametrize("num_items", [7, 100, 1234])
def test_groups_number_their_members(num_items):
    groups = Groups(num_items, 9, Draws(1))
    items = np.arange(num_items)
    assert groups.size.sum() == num_items
    assert np.array_equal(groups.size, np.bincount(groups.group(items), minlength=9))
    assert np.array_equal(groups.member(groups.group(items), groups.rank(items)), items)


def test_number_of_events_and_order(events):
    assert len(events.app) == 60_000
    assert (events.user[1:] >= events.user[:-1]).all()
    lengths = np.bincount(events.user)
    assert 8 <= np.median(lengths) <= 12
    assert lengths.max() > 60


def test_a_long_tail(events):
    counts = np.sort(np.bincount(events.app, minlength=NUM_ITEMS))[::-1]
    assert 0.15 < counts[:10].sum() / counts.sum() < 0.5
    assert counts[500:].sum() / counts.sum() < 0.15


def test_the_next_app_follows_from_the_one_before(world, events):
    same_user = events.user[1:] == events.user[:-1]
    category = world._categories.group(events.app)
    follows = (category[1:] == category[:-1])[same_user].mean()
    at_random = (category[1:] == category[:-1])[~same_user].mean()
    assert 4 * at_random < follows < 0.9


def test_apps_come_out_over_time(world, events):
    start = events.seconds.min()
    days = (events.seconds - start) / 86_400
    assert 44 < days.max() <= 45
    early, late = (set(events.app[part]) for part in (days < 30, days >= 30))
    assert len(late - early) > 20
    assert (world.release(events.app) <= events.seconds - start + 3600).mean() > 0.999


def test_item_table(world):
    apps = np.arange(NUM_ITEMS)
    keys = world.keys(apps)
    rows = world.apps(apps)
    assert len(set(keys)) == NUM_ITEMS
    assert {row.app_id for row in rows} < set(keys)
    assert 0.97 < len(rows) / NUM_ITEMS < 1
    assert 0.02 < np.mean([row.quality is None for row in rows]) < 0.09
    assert all(0.5 <= row.quality <= 1 for row in rows if row.quality is not None)
    assert all(row.app_id.split(".")[1] == row.developer_name for row in rows)
    assert 200 < len({row.developer_name for row in rows}) < 500
    assert len({name for row in rows for name in row.categories.split("|")}) == 30


def test_files(world, tmp_path):
    write_log(tmp_path, world, 500)
    assert write_items(tmp_path, world) == len(world.apps(np.arange(NUM_ITEMS)))
    with gzip.open(tmp_path / LOG_FILE, "rt") as lines:
        log = list(csv.DictReader(lines))
    assert len(log) == 500
    assert set(log[0]) == {"user_id", "app_id", "timestamp"}
    with open(tmp_path / ITEMS_FILE) as lines:
        items = list(csv.DictReader(lines))
    assert set(items[0]) == {
        "app_id", "developer_name", "categories", "title", "popularity", "quality"
    }  # fmt: skip
    known = {row["app_id"] for row in items}
    assert sum(row["app_id"] in known for row in log) > 480
    again = tmp_path / "again"
    write_log(again, InstallWorld(NUM_ITEMS, seed=2), 500)
    assert (again / LOG_FILE).read_bytes() == (tmp_path / LOG_FILE).read_bytes()


def test_too_few_apps_are_refused():
    with pytest.raises(InputError, match=r"at least 10 \(got 9\)"):
        InstallWorld(9, seed=0)
