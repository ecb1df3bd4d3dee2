import sys

import pytest

from benchmarks import processes

_MIB = 1 << 20


def test_usage_is_the_commands_own():
    ballast = bytearray(b"x" * (300 * _MIB))  # what this process holds does not count
    usage = processes.run([sys.executable, "-S", "-c", "print(len(b'x' * (50 << 20)))"])
    del ballast
    assert usage.output == f"{50 * _MIB}\n"
    assert 50 * _MIB < usage.peak_bytes < 150 * _MIB
    assert usage.cpu_seconds > 0
    assert 0 < usage.seconds < 60


def test_cores_and_environment():
    code = "import os; print(len(os.sched_getaffinity(0)), os.environ['COLOUR'])"
    usage = processes.run(
        [sys.executable, "-S", "-c", code], cores=1, environment={"COLOUR": "red"}
    )
    assert usage.output == "1 red\n"


def test_failure_shows_the_end_of_its_errors():
    code = "import sys; print('to standard error', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RuntimeError, match=r"status 3:\nto standard error"):
        processes.run([sys.executable, "-S", "-c", code])
