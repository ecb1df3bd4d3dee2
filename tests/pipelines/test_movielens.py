"""The commands for MovieLens in docs/your_own_data.md, on made-up files of its form."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np

from ssl_recsys import files, schema
from ssl_recsys.data.dataset import Dataset

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your_own_data.md").read_text(encoding="utf-8")
USERS, MOVIES = 12, 9
# Of u.genre, by number; a movie's columns 0 and 1 of these say which it has.
GENRES = ("unknown", "Action", "Children's", "Sci-Fi")
TITLES = ["Made Up (1995)", "Café, The (1996)", *(f"Film {n} (1997)" for n in range(2, MOVIES))]


def genres_of(movie: int) -> list[str]:
    return [GENRES[1 + movie % 3]] + (["unknown"] if movie == 4 else [])


def ratings() -> list[tuple[int, int, int, int]]:
    """User, movie, stars and time: each user rates five movies, a day apart."""
    return [
        (user + 1, (user + 2 * step) % MOVIES + 1, 1 + step, 874_965_758 + 86_400 * (user + step))
        for user in range(USERS)
        for step in range(5)
    ]


def write_spec(directory: pathlib.Path) -> None:
    content = re.search(r"`movielens\.json`:\n\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert content
    (directory / "movielens.json").write_text(content[1], encoding="utf-8")


def run_block(name: str, directory: pathlib.Path, **more_flags: str) -> str:
    """What the shell lines below a name in bold print; `more_flags` are added by module."""
    content = re.search(rf"\*\*{name}\*\*.*?```sh\n(.*?)```", PAGE, re.DOTALL)
    assert content
    script = content[1].replace("\\\n", " ")
    for module, flags in more_flags.items():
        script = re.sub(rf"(-m (?:ssl_recsys|pipelines)\.{module} .*)", rf"\1 {flags}", script)
    script = re.sub("^python", sys.executable, script, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_dataset(data_dir: pathlib.Path) -> None:
    dataset = Dataset(data_dir)
    assert sum(dataset.info.num_pairs.values()) == USERS * 5
    assert dataset.info.num_pairs[schema.TEST] == USERS  # the last of each user
    items = dataset.catalog(schema.ITEM)
    tokens = schema.vocab_path(data_dir, "genres").read_text(encoding="utf-8").splitlines()
    for movie, title in enumerate(TITLES):
        row = int(np.flatnonzero(np.array(items.keys) == str(movie + 1))[0])
        assert items.titles[row] == title
        ids = items.features["genres"][row]
        assert sorted(tokens[id - 1] for id in ids if id) == sorted(genres_of(movie))


def test_latest_small(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "ml-latest-small"
    source.mkdir()
    lines = ["userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in ratings())]
    (source / "ratings.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["movieId,title,genres"]
    for movie, title in enumerate(TITLES):
        quoted = f'"{title}"' if "," in title else title
        lines.append(f"{movie + 1},{quoted},{'|'.join(genres_of(movie))}")
    (source / "movies.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_spec(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    run_block(
        "Latest small",
        tmp_path,
        train="--max_epochs=1 --batch_size=8 --embedding_dim=8 --hidden_layers=8",
        baselines="--methods=item_knn --output=metrics.json",
    )
    check_dataset(tmp_path / "data" / "movielens")
    assert {"item_knn", "movielens"} <= set(files.read_json(tmp_path / "metrics.json"))
    planned = run_block("All nine methods", tmp_path, study="--dry_run")
    assert re.search(r"in all +76 runs", planned)


def test_100k(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "ml-100k"
    source.mkdir()
    lines = ["\t".join(map(str, row)) for row in ratings()]
    (source / "u.data").write_text("\n".join(lines) + "\n", encoding="latin-1")
    (source / "u.genre").write_text(
        "\n".join(f"{genre}|{number}" for number, genre in enumerate(GENRES)) + "\n\n",
        encoding="latin-1",
    )
    lines = []
    for movie, title in enumerate(TITLES):
        has = ["1" if genre in genres_of(movie) else "0" for genre in GENRES]
        lines.append("|".join([str(movie + 1), title, "01-Jan-1995", "", "http://x", *has]))
    (source / "u.item").write_text("\n".join(lines) + "\n", encoding="latin-1")
    write_spec(tmp_path)
    run_block("100k", tmp_path)
    check_dataset(tmp_path / "data" / "movielens_100k")
