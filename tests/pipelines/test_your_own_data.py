"""docs/your_own_data.md does what it says."""

import pathlib
import re
import shlex
import subprocess
import sys

from ssl_recsys import options, schema
from tests.flags_page import COMMANDS

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your_own_data.md").read_text(encoding="utf-8")


def write_files(directory):
    for name in ("viewings.csv", "films.jsonl", "films.json"):
        content = re.search(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
        (directory / name).write_text(content[1], encoding="utf-8")


def test_the_films_become_a_dataset(tmp_path):
    write_files(tmp_path)
    job = re.search(r"```sh\n(python -m pipelines\.app_install .*?)```", PAGE, re.DOTALL)[1]
    program, *arguments = shlex.split(job.replace("\\\n", " "))
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    info = schema.read_dataset_info(tmp_path / "data" / "films")
    assert info.name == "films"
    assert [spec.name for spec in info.features] == [
        "id", "director", "genres", "title_words", "minutes", "votes"
    ]  # fmt: skip
    # Each of the four has three films within a week: 3 pairs each.
    assert sum(info.num_pairs.values()) == 12
    assert min(info.num_pairs.values()) >= 2
    assert info.num_items == 7
    assert info.counters["items_without_metadata"] == 1
    tokens = schema.vocab_path(tmp_path / "data" / "films", "genres").read_text().splitlines()
    assert "science fiction" in tokens


def test_the_viewings_become_queries(tmp_path):
    write_files(tmp_path)
    job = re.search(r"```sh\n(python -m pipelines\.interactions .*?\n)python", PAGE, re.DOTALL)[1]
    _, *arguments = shlex.split(job.replace("\\\n", " "))
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    info = schema.read_dataset_info(tmp_path / "data" / "film_users")
    assert [spec.name for spec in info.queries.features] == ["history", "user_id"]
    assert sum(info.num_pairs.values()) == info.counters["events"]


def test_what_the_page_names_is_there():
    for module in set(re.findall(r"python -m ([\w.]+)", PAGE)):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    flags = {field.name for kind in COMMANDS.values() for field in options.all_fields(kind)}
    assert set(re.findall(r"`--(\w+)", PAGE)) <= flags
