"""Jobs over logs that list what was shown and not chosen: files of every format, by hand."""

import collections
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines import interactions
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from tests.dataset_dir import negatives_of_pairs
from tests.install_data import APPS, FRACTIONS, HOUR, make, write_lines

LOG = [
    ("u1", "a", 0, ["b"]),
    # zz is no item, c is listed twice, b was chosen, and a is the query of the pair (a, b).
    ("u1", "b", 1, ["c", "zz", "c", "b", "a", "d"]),
    ("u1", "e", 2, []),
    ("u2", "b", 0, ["a", "c"]),
    # The fifth key is one too many, whatever it is; f is in the table alone.
    ("u2", "c", 3, ["f", "a", "d", "e", "zz", "a"]),
    ("u3", "a", 0, None),
    # At one moment the longer list counts, and a later event with the item does not.
    ("u3", "d", 5, ["c"]),
    ("u3", "d", 5, ["e", "f"]),
    ("u3", "d", 6, ["b"]),
    ("u4", "c", 7, ["a"]),
    ("u4", "a", 9, ["zz"]),
]
NO = None
PAIRS = {
    ("a", "b", ("c", "d", NO, NO)), ("a", "e", (NO,) * 4), ("b", "e", (NO,) * 4),
    ("b", "c", ("f", "a", "d", "e")), ("a", "d", ("e", "f", NO, NO)), ("c", "a", (NO,) * 4),
}  # fmt: skip
COUNTERS = {
    "events": 11,
    "events_repeated": 2,
    "negatives": 21,
    "negatives_chosen": 1,
    "negatives_repeated": 2,
    "negatives_over_limit": 1,
    "negatives_of_query": 1,
    "negatives_unknown": 2,
    "negatives_in_pairs": 8,
}
HEADER = ("user_id", "app_id", "timestamp", "shown")
BY_PAIR = {"split_by": "pair", "split_seed": 1, "validation_fraction": 0.3, "test_fraction": 0.3}


def write(directory: pathlib.Path, kind: str, log: list, header: tuple = HEADER) -> str:
    path = directory / f"log.{kind}"
    if kind == "csv":
        write_lines(path, [header, *((*row, "|".join(shown or ())) for *row, shown in log)])
        return str(path)
    rows = [dict(zip(header, row, strict=True)) for row in log]
    if kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def in_hours(log: list) -> list:
    return [(user, item, hour * HOUR, shown) for user, item, hour, shown in log]


def run(directory: pathlib.Path, output: str, installs: str, **fields: object):
    write_lines(directory / "apps.csv", APPS)
    fields = {"negatives_column": "shown", **BY_PAIR, **fields}
    return make(directory / output, installs=installs, apps=f"{directory}/apps.csv", **fields)


def pairs_of(data_dir: pathlib.Path) -> collections.Counter:
    return collections.Counter(
        pair for pairs in negatives_of_pairs(data_dir).values() for pair in pairs
    )


def bytes_of(data_dir: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data_dir)): path.read_bytes()
        for path in data_dir.rglob("*")
        if path.is_file() and path.name not in ("dataset.json", "manifest.json")
    }


@pytest.fixture(scope="module")
def of_csv(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("shown")
    run(directory, "data", write(directory, "csv", in_hours(LOG)))
    return directory / "data"


def test_pairs_have_the_negatives_of_their_event(of_csv: pathlib.Path) -> None:
    assert pairs_of(of_csv) == collections.Counter(PAIRS)
    info = schema.read_dataset_info(of_csv)
    assert info.pair_columns == {"negatives": 4}
    assert {name: info.counters[name] for name in COUNTERS} == COUNTERS
    assert info.num_items == 6  # zz is none
    assert info.options["negatives_column"] == "shown"
    assert info.options["spec"]["log"]["max_negatives"] == 4


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_every_format_says_the_same(
    of_csv: pathlib.Path, tmp_path: pathlib.Path, kind: str
) -> None:
    info = run(tmp_path, "data", write(tmp_path, kind, in_hours(LOG)))
    assert bytes_of(tmp_path / "data") == bytes_of(of_csv)
    assert {name: info.counters[name] for name in COUNTERS} == COUNTERS


def test_neither_order_nor_files_nor_shards_matter(
    of_csv: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    log = in_hours(LOG)[::-1]
    (tmp_path / "more").mkdir()
    parts = write(tmp_path, "jsonl", log[:4]), write(tmp_path / "more", "csv", log[4:])
    info = run(tmp_path, "data", ",".join(parts), num_shards=5)
    assert bytes_of(tmp_path / "data") == bytes_of(of_csv)
    assert {name: info.counters[name] for name in COUNTERS} == COUNTERS


def test_a_spec_says_the_same_as_flags(of_csv: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spec = {"log": {"negatives": "shown", "negatives_separator": "/", "max_negatives": 2}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    log = [(*row, ["/".join(shown or ())]) for *row, shown in in_hours(LOG)]
    fields = {"features_spec": f"{tmp_path}/spec.json", "negatives_column": ""}
    info = run(tmp_path, "data", write(tmp_path, "csv", log), **fields)
    assert info.pair_columns == {"negatives": 2}
    # Of c, zz, a and d the first two are kept before it is known that zz is none.
    found = pairs_of(tmp_path / "data")
    assert ("a", "b", ("c", NO)) in found
    assert ("b", "c", ("f", "a")) in found
    more = run(tmp_path, "more", write(tmp_path, "csv", log), **fields, max_negatives=5)
    assert more.pair_columns == {"negatives": 5}
    assert ("b", "c", ("f", "a", "d", "e", NO)) in pairs_of(tmp_path / "more")


def test_logs_of_pairs_have_the_negatives_of_each_record(tmp_path: pathlib.Path) -> None:
    log = [
        ("a", "b", 1, ["c", "a", "b", "d"]), ("a", "b", 1, ["e"]), ("a", "b", 1, None),
        ("b", "c", 2, ["zz", "f"]), ("c", "d", 3, ["a"]), ("d", "e", 4, ["a"]),
        ("e", "a", 5, ["b"]), ("d", "d", 6, ["b"]),
    ]  # fmt: skip
    header = ("seed", "candidate", "timestamp", "shown")
    fields = {"log_kind": "landing_page", "max_negatives": 2}
    found = []
    for name, order in (("one", 1), ("other", -1)):
        installs = write(tmp_path, "jsonl", log[::order], header)
        info = run(tmp_path, name, installs, **fields, num_shards=2 + order)
        found.append(bytes_of(tmp_path / name))
    assert found[0] == found[1]
    assert pairs_of(tmp_path / "one") == collections.Counter(
        {
            ("a", "b", ("c", "d")): 1, ("a", "b", ("e", NO)): 1, ("a", "b", (NO, NO)): 1,
            ("b", "c", ("f", NO)): 1, ("c", "d", ("a", NO)): 1, ("d", "e", ("a", NO)): 1,
            ("e", "a", ("b", NO)): 1,
        }
    )  # fmt: skip
    names = ("negatives", "negatives_chosen", "negatives_of_query", "negatives_unknown")
    assert [info.counters[name] for name in names] == [11, 2, 0, 1]


def test_queries_that_are_users_have_them_too(tmp_path: pathlib.Path) -> None:
    write_lines(tmp_path / "apps.csv", APPS)
    found = []
    for name, kind, shards in (("one", "csv", 1), ("other", "parquet", 3)):
        options = interactions.InteractionsOptions(
            output_dir=str(tmp_path / name),
            events=write(tmp_path, kind, in_hours(LOG)),
            items=f"{tmp_path}/apps.csv",
            negatives_column="shown",
            num_shards=shards,
            **FRACTIONS,  # type: ignore[arg-type]
        )
        info = interactions.make_dataset(options)
        found.append(bytes_of(tmp_path / name))
    assert found[0] == found[1]
    assert info.pair_columns == {"negatives": 4}
    of_queries = {
        (query[:2], item): shown
        for pairs in negatives_of_pairs(tmp_path / "one").values()
        for query, item, shown in pairs
    }
    assert of_queries == {
        ("u1", "a"): ("b", NO, NO, NO),
        ("u1", "b"): ("c", "a", "d", NO),  # what the user had before may be one
        ("u1", "e"): (NO,) * 4,
        ("u2", "b"): ("a", "c", NO, NO),
        ("u2", "c"): ("f", "a", "d", "e"),
        ("u3", "a"): (NO,) * 4,
        ("u3", "d"): ("e", "f", NO, NO),
        ("u4", "c"): ("a", NO, NO, NO),
        ("u4", "a"): (NO,) * 4,
    }
    assert "negatives_of_query" not in info.counters
    assert info.counters["negatives_unknown"] == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("b", "shown must be a list, got 'b'"),
        (3, "shown must be a list, got '3'"),
        ({"b": 1}, "shown must be a list, got an object"),
        ([["b"]], "shown must be a text, a number or a list of them, got a list in a list"),
        (["b" * 5000], "shown must have at most 4,096 bytes"),
    ],
)
def test_what_is_no_list_is_a_bad_record(
    tmp_path: pathlib.Path, value: object, message: str
) -> None:
    log = [*in_hours(LOG), ("u9", "a", 0, value)]
    installs = write(tmp_path, "jsonl", log)
    with pytest.raises(InputError, match=rf"log\.jsonl:12: {message}"):
        run(tmp_path, "data", installs)
    info = run(tmp_path, "data", installs, max_bad_records=1)
    assert info.counters["log_records_bad"] == 1
    assert pairs_of(tmp_path / "data") == collections.Counter(PAIRS)


def test_flags_that_cannot_be(tmp_path: pathlib.Path) -> None:
    installs = write(tmp_path, "csv", in_hours(LOG))
    with pytest.raises(InputError, match="no column 'seen'"):
        run(tmp_path, "data", installs, negatives_column="seen")
    with pytest.raises(InputError, match="--negatives_column"):
        run(tmp_path, "data", installs, negatives_column="", max_negatives=2)
    with pytest.raises(InputError, match="max_negatives"):
        run(tmp_path, "data", installs, max_negatives=-1)
