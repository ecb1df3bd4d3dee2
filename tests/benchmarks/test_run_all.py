import json
import subprocess
import sys

_FAKE = """
import sys
from benchmarks import run_all, harness

def command(name, output):
    if name == "memory":
        return [sys.executable, "-c", "raise SystemExit(1)"]
    report = harness.Report(name, [harness.Row("speed", 2.0, "x", target=1)])
    fields = harness.to_fields(report, harness.Report("", []), 0.0)
    harness.write_json(output, fields)
    return [sys.executable, "-c", ""]

run_all._command = command
run_all.cli.run(run_all.main)
"""


def _run(*arguments):
    command = [sys.executable, "-c", _FAKE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_one_table_of_all(tmp_path):
    done = _run(f"--output_dir={tmp_path}", "--only=exact_search,scann_search")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("met") == 2
    assert json.loads((tmp_path / "exact_search.json").read_text())["benchmark"] == "exact_search"


def test_a_failure_does_not_stop_the_others(tmp_path):
    done = _run(f"--output_dir={tmp_path}", "--only=memory,scann_search")
    assert done.returncode == 1
    assert "scann_search" in done.stdout
    assert "failed: memory" in done.stderr


def test_unknown_benchmark(tmp_path):
    done = _run(f"--output_dir={tmp_path}", "--only=speed")
    assert done.returncode == 2
    assert "no benchmark 'speed'" in done.stderr
