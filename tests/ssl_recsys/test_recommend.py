"""`recommend`: queries by name and from files, and what is written for each."""

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

from ssl_recsys import recommend, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.search.queries import Names, read_queries
from tests import command_line, small_dataset
from tests.ssl_recsys import commands


@pytest.fixture(scope="module")
def model_dir(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("recommend") / "run"
    commands.train(*commands.small_run(data_dir, directory, "--max_epochs=1", "--eval_split=none"))
    return directory


def run(model_dir: pathlib.Path, *arguments: object) -> None:
    given = (f"--model_dir={model_dir}", "--noverify", *map(str, arguments))
    recommend.main(command_line.parse(recommend.RecommendOptions, *given))


def rankings(model_dir: pathlib.Path, output: pathlib.Path, *arguments: object) -> list[Any]:
    run(model_dir, "--format=json", f"--output={output}", *arguments)
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_json_has_a_line_a_query_with_keys_titles_and_slices(
    model_dir: pathlib.Path, data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "queries.txt").write_text("item 7\n\nitem 110\n")
    found = rankings(
        model_dir,
        tmp_path / "found.jsonl",
        "--query=item 5",
        f"--queries={tmp_path / 'queries.txt'}",
        "--k=119",
        "--score_items=item 3",
    )
    assert [one["query"] for one in found] == ["item 5", "item 7", "item 110"]
    catalog = Dataset(data_dir).catalog(schema.ITEM)
    row = {key: number for number, key in enumerate(catalog.keys)}
    for one in found:
        assert one["title"] == catalog.titles[row[one["query"]]]
        # All but the query itself, the best first.
        keys = [item["key"] for item in one["items"]]
        assert sorted([*keys, one["query"]]) == sorted(catalog.keys)
        assert [item["rank"] for item in one["items"]] == list(range(1, 120))
        scores = [item["score"] for item in one["items"]]
        assert scores == sorted(scores, reverse=True)
        for item in one["items"]:
            assert item["title"] == catalog.titles[row[item["key"]]]
            assert item["train_count"] == catalog.train_count[row[item["key"]]]
            assert item["slice"] == ("head" if item["train_count"] else "tail")
        (scored,) = one["scored"]
        (ranked,) = (item for item in one["items"] if item["key"] == "item 3")
        assert scored == {name: value for name, value in ranked.items() if name != "rank"}
    assert {item["slice"] for item in found[0]["items"]} == {"head", "tail"}
    assert abs(found[0]["items"][0]["score"]) <= 1.0


def test_known_pairs_are_left_out_on_request(
    model_dir: pathlib.Path, data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    pairs = Dataset(data_dir).pairs(schema.TRAIN)
    known = {f"item {row}" for row in pairs.item_row[pairs.query_row == 5]}
    assert len(known) > 3
    arguments = ("--query=item 5", "--query=item 119", "--k=5")
    usual = rankings(model_dir, tmp_path / "usual", *arguments)
    assert known & {item["key"] for item in usual[0]["items"]}
    every = rankings(model_dir, tmp_path / "every", "--query=item 5", "--k=119")
    fresh = rankings(model_dir, tmp_path / "fresh", *arguments, "--exclude_known")
    left = [item["key"] for item in every[0]["items"] if item["key"] not in known]
    assert [item["key"] for item in fresh[0]["items"]] == left[:5]
    assert fresh[1] == usual[1]  # held out: no training pair
    assert [item["rank"] for item in fresh[0]["items"]] == [1, 2, 3, 4, 5]


def test_known_pairs_of_another_dataset_are_refused(
    model_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    small_dataset.write(tmp_path / "other", num_pairs=500)
    with pytest.raises(InputError, match="was not trained on the dataset"):
        run(model_dir, "--query=item 5", "--exclude_known", f"--data_dir={tmp_path / 'other'}")
    shutil.copytree(model_dir / "export", tmp_path / "alone" / "export")
    with pytest.raises(InputError, match=r"config\.json is missing, give --data_dir"):
        run(tmp_path / "alone", "--query=item 5", "--exclude_known")


def test_what_is_printed_can_be_the_next_query(
    model_dir: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(model_dir, "--query=ITEM 5", "--k=2")
    _, head, *lines = capsys.readouterr().out.splitlines()
    key, title = head.split("  ")
    assert (key, title[:16]) == ("item 5", "Item 5 of topic ")
    rank, _, next_key, next_title, count = (part for part in lines[0].split("  ") if part)
    assert rank.strip() == "1"
    assert count.endswith((" training pairs, head)", " training pairs, tail)"))
    for query in (next_key, next_title):
        run(model_dir, f"--query={query}", "--k=2")
        assert capsys.readouterr().out.splitlines()[1] == f"{next_key}  {next_title}"


def test_a_failure_writes_nothing(model_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "queries.txt"
    path.write_text("item 5\nitm 6\n")
    with pytest.raises(InputError, match=r"queries\.txt:2: no item 'itm 6'.*; similar: item 6"):
        rankings(model_dir, tmp_path / "found", f"--queries={path}")
    assert [one.name for one in tmp_path.iterdir()] == ["queries.txt"]


KEYS = np.array(["a1", "A2", "b3", "c4", "d5", "D5", "Doc"], object)
TITLES = np.array(["Doc", "Doc", "Logic", "", "a1", "maths", "MATHS"], object)


@pytest.mark.parametrize(
    ("name", "row"),
    [("a1", 0), ("a2", 1), ("Logic", 2), ("LOGIC", 2), ("d5", 4), ("D5", 5), ("Doc", 6)],
)
def test_keys_come_before_titles_and_case_decides_where_it_can(name: str, row: int) -> None:
    assert Names(KEYS, TITLES).row(name) == row


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Maths", "'Maths' names 2 items; give the key of one: 'D5', 'Doc'"),
        ("Logik", "no item 'Logik' in the catalog; similar: b3"),
        ("", "no item ''"),
    ],
)
def test_names_of_none_or_several(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Names(KEYS, TITLES).row(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.txt", "\ufeffitem 5\r\n\n item, 6 \n"),
        ("q.jsonl", '{"key": "item 5"}\n\n{"title": "x", "key": "item, 6"}\n'),
        ("q.csv", 'title,key\n"a\nb",item 5\r\nx,"item, 6"\n'),
    ],
)
def test_files_of_queries(name: str, text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).write_text(text, newline="")
    assert [query for _, query in read_queries(tmp_path / name)] == ["item 5", "item, 6"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", b"ok\n\xff\n", r"is not UTF-8 text \(byte 3\)"),
        ("q.jsonl", b'{"key": "a"}\n{"key"', r"q\.jsonl:2: no JSON object"),
        ("q.jsonl", b"[" * 100_000, r"q\.jsonl:1: no JSON object"),
        ("q.jsonl", b'\n{"key": 7}', r"q\.jsonl:2: expected text under 'key', got 7"),
        ("q.csv", b"name\na\n", r"has no column 'key' \(got \['name'\]\)"),
        ("q.csv", b"", r"has no column 'key'"),
        ("q.csv", b"key,x\na,b\n,c\n", r"q\.csv:3: expected text under 'key', got ''"),
        ("q.csv", b'key\n"a\n', r"q\.csv:\d: no CSV record"),
    ],
)
def test_bad_files_of_queries(
    name: str, content: bytes, message: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_queries(tmp_path / name))
    with pytest.raises(InputError, match=r"no file .*absent with queries"):
        list(read_queries(tmp_path / "absent"))
