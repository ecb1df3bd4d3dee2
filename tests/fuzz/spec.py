"""Mutates spec files and `dataset.json` and reports whatever is not an InputError.

    python -m tests.fuzz.spec --seconds=600 --seed=0

Each case is made of its number alone. A failure is any exception but an InputError of one line, or
a file that is taken although a field has another type than the program's own object.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import pathlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

from data_prep.installs.spec import InstallSpec, read_spec
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import Bag, Categorical, Dense

SPEC = {
    "name": "films",
    "items": {"key": "film", "title": "name"},
    "log": {"kind": "history", "user": "viewer", "item": "film", "timestamp": "at"},
    "features": [
        {"name": "id", "kind": "categorical", "column": "film", "min_count": 2},
        {"name": "genres", "kind": "bag", "column": "genres", "separator": "|", "max_values": 5},
        {"name": "words", "kind": "bag", "column": "name", "words": True, "ngrams": 2},
        {"name": "length", "kind": "dense", "column": "minutes", "normalize": "log"},
        {"name": "popularity", "kind": "dense", "from_training": True},
        {"name": "plot", "kind": "vector", "column": "plot", "size": 4, "normalize": "none"},
        {"name": "cover", "kind": "vector", "file": "covers.npy"},
    ],
}
INFO = schema.DatasetInfo(
    name="films",
    features=(Categorical("id", 5), Bag("words", 9, 3), Dense("length", max_values=2)),
    num_items=7,
    num_pairs={"train": 5, "validation": 1, "test": 1},
    head=schema.HeadRule(schema.HEAD_TOP_FRACTION, 0.1),
    split={"by": "time", "seed": 0},
    counters={"pairs": 7},
    sources=({"path": "log.csv", "bytes": 9, "sha256": "ab"},),
    options={"window": "1d"},
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**30, 0.5, float("nan"), float("inf"), -0.0, "", " ", "a",
    "id", "row", "bag", "dense", "history", "landing_page", "in_training", "top_fraction", "\ud800",
    "\0", "a\nb", "\x1b[2J", "é", "x" * 10_000, "../..", [], {}, [[]], [{}], {"": 1}, {"name": "a"},
)  # fmt: skip
TOKENS = (
    b"[" * 100_000, b'{"a":' * 50_000, b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"\\ud800"',
    b"\xff", b"\xef\xbb\xbf", b"\0", b'"', b",", b"}", b"]", b":", b"null", b'"name": "a",', b"//",
)  # fmt: skip


def mutate_json(rng: random.Random, content: Any) -> Any:
    """`content` with values replaced, left out, repeated, added or moved."""
    content = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        places = [*_places(content)]
        parent, key = rng.choice(places)
        value = copy.deepcopy(rng.choice(VALUES))  # later changes must not reach the next case
        if rng.random() < 0.3:
            other, from_key = rng.choice(places)
            value = copy.deepcopy(other[from_key])
        kind = rng.randrange(4)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice(("", "colour", "name", "kind", "min_count", "words"))] = value
        elif kind == 1:
            parent.append(value)
        else:
            parent[key] = value
    return content


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Each value that stands in an object or list, as that and its key or index."""
    if not isinstance(content, dict | list):
        return []
    keys = content.keys() if isinstance(content, dict) else range(len(content))
    found = [(content, key) for key in keys]
    return found + [place for key in keys for place in _places(content[key])]


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """`data` with tokens put in, cut out, and bits flipped."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            data = data[:start] + rng.choice(TOKENS) + data[start:]
        elif kind == 1:
            data = data[:start] + data[start + rng.randint(1, 20) :]
        elif kind == 2 and start < len(data):
            data = data[:start] + bytes([data[start] ^ 1 << rng.randrange(8)]) + data[start + 1 :]
        elif kind == 3 and rng.random() < 0.3:
            data = data[:start]
    return data


def _read_spec(path: pathlib.Path) -> None:
    spec = read_spec(str(path))
    _check_types(spec)
    spec.encoders()
    spec.item_columns()
    sizes = dict.fromkeys((feature.name for feature in spec.features), 2)
    info = dataclasses.replace(INFO, name=spec.name, features=spec.encoded(sizes))
    schema.to_json(info).encode("utf-8")


def _check_types(spec: InstallSpec) -> None:
    for one, plain in ((spec, InstallSpec()), (spec.log, InstallSpec().log)):
        _check_like(one, plain)
    for feature in spec.features:
        _check_like(feature, InstallSpec().features[0])


def _read_info(path: pathlib.Path) -> None:
    info = schema.read_dataset_info(path.parent)
    _check_like(info, INFO)
    text = schema.to_json(info)
    text.encode("utf-8")
    assert schema.to_json(schema.read_dataset_info(path.parent)) == text


def _check_like(one: Any, plain: Any) -> None:
    for field in dataclasses.fields(one):
        value, expected = getattr(one, field.name), type(getattr(plain, field.name))
        assert type(value) is expected or expected is tuple, f"{field.name}: {value!r:.200}"


KINDS: tuple[tuple[str, Any, Callable[[pathlib.Path], None]], ...] = (
    ("spec.json", SPEC, _read_spec),
    (schema.DATASET_FILE, json.loads(schema.to_json(INFO)), _read_info),
)


def one_case(case: int, directory: pathlib.Path) -> str:
    """Writes and reads one file.

    Returns:
      `read` or `refused`.

    Raises:
      Exception: if the reader has a defect.
    """
    rng = random.Random(case)
    name, content, read = KINDS[case % len(KINDS)]
    if rng.random() < 0.7:
        content = mutate_json(rng, content)
    data = json.dumps(content, indent=rng.choice((None, 2))).encode()
    path = directory / name
    path.write_bytes(mutate_bytes(rng, data) if rng.random() < 0.4 else data)
    try:
        read(path)
    except InputError as error:
        message = str(error)
        message.encode("utf-8")
        assert "\n" not in message, message
        return "refused"
    return "read"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts = {"read": 0, "refused": 0, "failed": 0}
    case = options.seed * 10**9
    stop = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as directory:
        while time.monotonic() < stop:
            try:
                counts[one_case(case, pathlib.Path(directory))] += 1
            except Exception:
                counts["failed"] += 1
                print(f"case {case}:\n{traceback.format_exc()}", flush=True)
            case += 1
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
