"""The finished studies in docs/results, and what docs/results.md says of them."""

import dataclasses
import json
import pathlib
import re

import pytest

from pipelines.experiments.studies import report, tables
from pipelines.experiments.studies.results import Results
from pipelines.experiments.studies.settings import Setting, Study
from pipelines.experiments.studies.store import Record

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
STUDIES = sorted(path.parent for path in RESULTS.glob("*/report.md"))


def first_table(report):
    """Lines of the first table."""
    lines = report.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|"))
    end = next(number for number in range(begin, len(lines)) if not lines[number])
    return lines[begin:end]


def test_results_page_has_the_wikipedia_studys_first_table():
    table = first_table((RESULTS / "study_wiki" / "report.md").read_text(encoding="utf-8"))
    assert len(table) == 2 + 1 + 9  # head, TopPopular, nine methods
    assert "\n".join(table) in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("directory", STUDIES, ids=lambda path: path.name)
def test_studies_are_whole_and_speak_of_no_machine(directory):
    texts = [
        path.read_text(encoding="utf-8")
        for path in directory.rglob("*")
        if path.suffix in (".md", ".html", ".json", ".svg")
    ]
    assert not any("INCOMPLETE" in text for text in texts)
    assert not any(re.search(r"/(?:tmp|home|root|work|dev)/", text) for text in texts)
    results = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    methods = {run["method"] for run in results["runs"] if run["split"] == "test"}
    assert methods == set(results["study"]["methods"])
    images = [path.stat().st_size for path in directory.glob("figures/*")]
    assert images
    assert sum(images) < 300_000


def read(directory):
    """The results of a finished study."""
    found = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    fields = found["study"]
    if "epochs_at" in fields:  # its name and form when the first studies were carried out
        fields["max_epochs_at"] = list(fields.pop("epochs_at").items())
    fields["max_epochs_at"] = tuple((float(part), most) for part, most in fields["max_epochs_at"])
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    records = {}
    for run in found["runs"]:
        setting = Setting(**{field.name: run[field.name] for field in dataclasses.fields(Setting)})
        records[setting] = Record(
            setting,
            run["metrics"],
            run["curve"],
            run["diagnostics"],
            **found["timings"][run["name"]],
        )
    return Results(Study(**(fields | lists)), records)


@pytest.mark.parametrize("directory", STUDIES, ids=lambda path: path.name)
def test_reports_follow_from_the_results(directory):
    results = read(directory)
    text = (directory / "report.md").read_text(encoding="utf-8")
    for table in (
        tables.headline_table(results),
        report._verdict_table(results),
        *(tables.overall_table(results, one) for one in results.study.fractions),
        *(tables.slice_table(results, one) for one in results.study.fractions),
        tables.choice_table(results),
        tables.rate_table(results),
        tables.speed_table(results),
        tables.diagnostics_table(results),
    ):
        shown = report.to_markdown("", [report.Section("", tables=[table])])
        assert shown.split("\n### ")[1] in text
