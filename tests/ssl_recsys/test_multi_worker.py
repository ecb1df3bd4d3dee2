"""Two workers on this machine train the same model as one process, stopped and killed or not."""

import json
import os
import pathlib
import signal
import socket
import time

import pytest

from tests.cluster.processes import Processes, wait_for
from tests.ssl_recsys import commands

METHOD = ("--logq_correction", "--max_epochs=2", "--batch_size=32")
WORKERS = ("one", "two")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(processes: Processes, arguments: list[str], *, until: str = "") -> None:
    """Starts both workers and waits until the first one says something."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(len(WORKERS))]
    for index, name in enumerate(WORKERS):
        cluster = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        processes.start(
            name,
            commands.command("ssl_recsys.train", *arguments),
            env={"CUDA_VISIBLE_DEVICES": "", "TF_CONFIG": json.dumps(cluster)},
            directory=commands.ROOT,
        )
    if until:
        wait_for(until, lambda: until in processes.log("one").read_text(), 240)


def statuses(processes: Processes, seconds: float = 240) -> list[int | None]:
    """Waits for both workers' end."""
    ended = [processes._started[name] for name in WORKERS]
    wait_for("the workers' end", lambda: None not in [p.poll() for p in ended], seconds)
    return [process.returncode for process in ended]


def test_two_workers_stopped_and_killed_equal_one_process(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    alone = tmp_path / "alone"
    commands.train(*commands.small_run(data_dir, alone, *METHOD))
    together = tmp_path / "together"
    more = (*METHOD, "--strategy=multi_worker", "--checkpoint_minutes=0.0001")
    arguments = commands.small_run(data_dir, together, *more)
    processes = Processes(tmp_path / "logs")
    log = processes.log("one")
    try:
        # A signal to the second worker stops both, at the same step, with a checkpoint.
        start(processes, arguments, until="step 16/124")
        os.kill(processes._started["two"].pid, signal.SIGTERM)
        assert statuses(processes) == [128 + signal.SIGTERM] * 2, log.read_text()
        for name in WORKERS:
            assert "stopped by SIGTERM at step" in processes.log(name).read_text()

        # Killed without notice, it leaves the first one waiting no longer than a minute.
        start(processes, arguments, until="step 78/124")
        assert "resuming from step" in log.read_text()
        killed = time.monotonic()
        processes.kill("two")
        assert statuses(processes, 60) == [75, -signal.SIGKILL], log.read_text()
        assert "error: a worker of the cluster is gone" in log.read_text()
        assert time.monotonic() - killed < 60

        start(processes, arguments)
        assert statuses(processes) == [0, 0], log.read_text()
    finally:
        processes.stop()
    histories = [json.loads((path / "history.json").read_text()) for path in (alone, together)]
    for one, two in zip(*histories, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
        assert two["validation_recall@50"] == pytest.approx(one["validation_recall@50"], abs=0.02)
    # One worker writes the run, the other nothing.
    assert (together / "metrics.json").is_file()
    assert not [*together.glob("worker-*")]
