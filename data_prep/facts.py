"""Facts that a running job reports to the command: small values, few, in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from data_prep import dataset_files, probe

_FILE = "facts.json"


def write_facts(facts: Mapping[str, beam.PCollection], directory: str) -> None:
    """Writes the values of each kind, anything that JSON holds, to `directory`."""
    named = [values | f"Fact_{kind}" >> beam.Map(_fact, kind) for kind, values in facts.items()]
    _ = (
        named
        | "Facts" >> beam.Flatten()
        | "GatherFacts" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "WriteFacts" >> beam.Map(_write_json, directory)
    )


def _fact(value: Any, kind: str) -> tuple[str, Any]:
    return kind, value


def _write_json(value: Any, directory: str) -> None:
    probe.check(directory)
    with dataset_files.opened(FileSystems.join(directory, _FILE)) as write:
        write(json.dumps(value).encode("utf-8"))


def take_facts(directory: str) -> dict[str, list[Any]]:
    """Reads and removes the file of `write_facts`: values by kind, sorted."""
    path = FileSystems.join(directory, _FILE)
    with FileSystems.open(path) as file:
        pairs = json.loads(file.read())
    FileSystems.delete([path])
    found: dict[str, list[Any]] = {}
    for kind, value in sorted(pairs):
        found.setdefault(kind, []).append(value)
    return found
