"""The command over all benchmarks, with commands in their place that end at once."""

import json
import sys

import pytest

from benchmarks import harness, run_all
from ssl_recsys.errors import InputError
from tests import command_line


@pytest.fixture(name="_quick", autouse=True)
def _quick_commands(monkeypatch):
    def command(name, output, options):
        del options
        if name == "memory":
            return [sys.executable, "-S", "-c", "raise SystemExit(1)"]
        report = harness.Report(name, [harness.Row("speed", 2.0, "x", target=1)])
        harness.write_json(output, harness.to_fields(report, harness.BenchmarkOptions(), 0.0))
        return [sys.executable, "-S", "-c", ""]

    monkeypatch.setattr(run_all, "command", command)


def _run(*arguments):
    run_all.main(command_line.parse(run_all.RunAllOptions, *arguments))


def test_one_table_of_all(tmp_path, capsys):
    _run(f"--output_dir={tmp_path}", "--only=exact_search,scann_search")
    assert capsys.readouterr().out.count("met") == 2
    assert json.loads((tmp_path / "exact_search.json").read_text())["benchmark"] == "exact_search"


def test_a_failure_does_not_stop_the_others(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        _run(f"--output_dir={tmp_path}", "--only=memory,scann_search")
    assert end.value.code == 1
    shown = capsys.readouterr()
    assert "scann_search" in shown.out
    assert "failed: memory" in shown.err


def test_unknown_benchmark(tmp_path):
    with pytest.raises(InputError, match=r"--only must be one of training_step, .*'speed'"):
        _run(f"--output_dir={tmp_path}", "--only=speed")


def test_the_committed_figures_are_not_overwritten():
    assert run_all.RunAllOptions().output_dir == "runs/bench"


def test_inputs_go_to_the_benchmarks_that_read_them(monkeypatch, tmp_path):
    monkeypatch.undo()
    options = run_all.RunAllOptions(dump="a.bz2", data_dir="data/x")
    path = tmp_path / "found.json"
    tails = {name: run_all.command(name, path, options)[3:] for name in run_all.BENCHMARKS}
    assert tails["data_prep"] == [f"--output={path}", "--dump=a.bz2"]
    assert tails["end_to_end"] == [f"--output={path}", "--data_dir=data/x"]
    assert tails["memory"] == [f"--output={path}"]
