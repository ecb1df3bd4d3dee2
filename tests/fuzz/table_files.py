"""Random tables in each format, whole and damaged."""

from __future__ import annotations

import decimal
import io
import json
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
_TOKENS = (
    b'"', b'""', b",", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xe9", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\\ud800", b"\\u0000", b"\\", b"{", b"}",
    b"[", b"]", b":", b"NaN", b"-Infinity", b"null", b"1e999", b"9" * 400, b"-0.0", b" ",
    b"\xc2\x85",
    b"\xe2\x80\xa8", b"2024-02-30T25:61:61Z", b"2024-W53-7",
    b"1" * 5000, b"[" * 3000, b"x" * 140_000,
)  # fmt: skip
_VALUES = (
    "", " ", "a", "é", "😀", "a,b", "a\tb", 'say "hi"', '"', "x\ny", "x\r\ny", "x\ry", "nan", "NaN",
    "12.0", "1e300", "inf", "-1", "0", "1600000000", "2024-03-01T19:00:00Z", "20240301T190000,5+01",
    "2024-03-01 19:00:00 UTC", "2024-060", "9999-12-31", "a|b|c", "\ufeff", "\x85", "a\0", "\\N",
    "9" * 30, "1_0", "٣", "+5", "0x10", "2024-03-01t19:00:00.123456789z", "y" * 5000,
)  # fmt: skip


def make(ending: str, rng: np.random.Generator) -> bytes:
    """A file of the format that a name ends in, in most cases damaged."""
    data = {".csv": _delimited, ".tsv": _delimited, ".jsonl": _json_lines, ".parquet": _parquet}[
        ending
    ](ending, rng)
    return mutate_bytes(data, rng) if rng.random() < 0.6 else data


def mutate_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Changes, inserts, deletes, repeats or cuts off some bytes."""
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(data) + 1))
        size = int(rng.integers(1, 20))
        change = rng.integers(6)
        if change == 0:
            data = data[:at] + bytes(rng.integers(0, 256, size, np.uint8)) + data[at + size :]
        elif change == 1:
            data = data[:at] + data[at + size :]
        elif change == 2:
            data = data[:at] + data[at : at + size] * 3 + data[at + size :]
        elif change == 3 and rng.random() < 0.3:
            data = data[:at]
        else:
            data = data[:at] + _TOKENS[rng.integers(len(_TOKENS))] + data[at:]
    return data


def _value(rng: np.random.Generator) -> str:
    return _VALUES[rng.integers(len(_VALUES))]


def _delimited(ending: str, rng: np.random.Generator) -> bytes:
    delimiter = "," if ending == ".csv" else "\t"
    end = ("\n", "\r\n", "\r")[rng.integers(3)]
    quotes = rng.random()

    def cell(value: str) -> str:
        if rng.random() < quotes:
            return '"' + value.replace('"', '""') + '"'
        return value

    width = int(rng.integers(1, 5))
    rows = [[f"c{column}" for column in range(width)]]
    for _ in range(int(rng.integers(0, 30))):
        rows.append([cell(_value(rng)) for _ in range(width + int(rng.random() < 0.05))])
    text = end.join(delimiter.join(row) for row in rows) + (end if rng.random() < 0.7 else "")
    encoding = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16")[rng.integers(5)]
    return text.encode(encoding)


def _json_value(rng: np.random.Generator, depth: int = 0) -> Any:
    kind = rng.integers(9)
    if kind < 4:
        return _value(rng)
    if kind == 4:
        return (None, True, float("nan"), float("inf"), "\ud800")[rng.integers(5)]
    if kind == 5:
        return (12.0, 1e300, 1.5, 10**30, -0.0, 1_600_000_000)[rng.integers(6)]
    if kind == 6 and depth < 3:
        return [_json_value(rng, depth + 1) for _ in range(int(rng.integers(4)))]
    if kind == 7 and depth < 3:
        return {"k": _json_value(rng, depth + 1)}
    return int(rng.integers(100))


def _json_lines(unused_ending: str, rng: np.random.Generator) -> bytes:
    end = ("\n", "\r\n", "\r", "\n\n")[rng.integers(4)]
    plain = rng.random() < 0.5
    lines = []
    for _ in range(int(rng.integers(1, 30))):
        names = [f"c{column}" for column in range(4) if rng.random() < 0.8]
        record = {name: _value(rng) if plain else _json_value(rng) for name in names}
        lines.append(json.dumps(record, ensure_ascii=bool(rng.random() < 0.5 or not plain)))
    encoding = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16")[rng.integers(5)]
    return end.join(lines).encode(encoding)


def _parquet(unused_ending: str, rng: np.random.Generator) -> bytes:
    size = int(rng.integers(0, 40))
    columns = {}
    for number in range(int(rng.integers(1, 5))):
        kind, one = _KINDS[rng.integers(len(_KINDS))]
        values = [None if rng.random() < 0.1 else one(rng) for _ in range(size)]
        if rng.random() < 0.3:  # a fixed-size list with nulls cannot be read back
            values = [one(rng) for _ in range(size)]
        columns[f"c{number}"] = pa.array(values, kind)
    table = pa.table(columns)
    sink = io.BytesIO()
    try:
        pa.parquet.write_table(
            table,
            sink,
            row_group_size=int(rng.integers(1, 30)),
            compression=("none", "snappy", "zstd", "gzip")[rng.integers(4)],
            store_schema=bool(rng.random() < 0.7),
            use_dictionary=bool(rng.random() < 0.7),
        )
    except pa.ArrowException:  # some types cannot be written
        return b"PAR1"
    return sink.getvalue()


def _integer(rng: np.random.Generator) -> int:
    return int(rng.integers(-(2**31), 2**31 - 1))


def _float(rng: np.random.Generator) -> float:
    return (12.0, 1.5, float("nan"), float("inf"), 1e300, -0.0, 2.0**63)[rng.integers(7)]


def _many(one: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda rng: [one(rng) for _ in range(int(rng.integers(3)))]


_KINDS: tuple[tuple[pa.DataType, Callable[[Any], Any]], ...] = (
    (pa.string(), _value),
    (pa.large_string(), _value),
    (pa.string_view(), _value),
    (pa.dictionary(pa.int32(), pa.string()), _value),
    (pa.binary(), lambda rng: (b"a", b"\xff", b"", b"a\0")[rng.integers(4)]),
    (pa.binary(16), lambda rng: rng.bytes(16)),
    (pa.uuid(), lambda rng: uuid.UUID(bytes=rng.bytes(16)).bytes),
    (pa.int64(), lambda rng: int(rng.integers(-(2**63), 2**63 - 1))),
    (pa.uint64(), lambda rng: int(rng.integers(0, 2**63 - 1)) * 2 + 1),
    (pa.int8(), lambda rng: int(rng.integers(-128, 128))),
    (pa.float64(), _float),
    (pa.float32(), lambda rng: (12.0, float("nan"), 1.5)[rng.integers(3)]),
    (pa.float16(), lambda rng: np.float16((12.0, np.nan, 1.5)[rng.integers(3)])),
    (pa.bool_(), lambda rng: bool(rng.random() < 0.5)),
    (pa.null(), lambda rng: None),
    (pa.decimal128(20, 2), lambda rng: decimal.Decimal("12.00")),
    (pa.timestamp("s"), lambda rng: int(rng.integers(-(2**62), 2**62))),
    (pa.timestamp("us", "Europe/Paris"), _integer),
    (pa.timestamp("ns"), lambda rng: int(rng.integers(-(2**62), 2**62))),
    (pa.date32(), _integer),
    (pa.date64(), lambda rng: 86_400_000 * int(rng.integers(-(10**9), 10**9))),
    (pa.time64("us"), lambda rng: int(rng.integers(86_400_000_000))),
    (pa.duration("s"), _integer),
    (pa.list_(pa.string()), _many(_value)),
    (pa.large_list(pa.float64()), _many(_float)),
    (pa.list_(pa.int64(), 2), lambda rng: [1, None]),
    (pa.list_view(pa.string()), _many(_value)),
    (pa.list_(pa.list_(pa.string())), _many(_many(_value))),
    (pa.struct([("a", pa.int64())]), lambda rng: {"a": 1}),
    (pa.list_(pa.struct([("a", pa.int64())])), lambda rng: [{"a": 1}]),
    (pa.map_(pa.string(), pa.int64()), lambda rng: [("k", 1)]),
)
