"""The notebook runs from its first cell to its last, and its stored output is whole."""

import json
import pathlib

import matplotlib
import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "two_files.ipynb"
CELLS = [
    cell
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    if cell["cell_type"] == "code"
]


def test_every_cell_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(ROOT)  # its data jobs are processes, which find the package there
    matplotlib.use("Agg")
    from matplotlib import pyplot

    names: dict[str, object] = {}
    try:
        for number, cell in enumerate(CELLS):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        assert len(pyplot.get_fignums()) == 4
    finally:
        pyplot.close("all")
    work = names["work"]
    assert isinstance(work, pathlib.Path)
    runs = [work / name / "metrics.json" for name in ("baseline", "fd", "for_users")]
    assert all(path.is_file() for path in runs)
    said = capsys.readouterr().out
    assert said.count("com.example.brandnew") == 1
    assert "cold users" in said


def test_the_stored_output_has_its_pictures_and_no_error() -> None:
    outputs = [output for cell in CELLS for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data"}
