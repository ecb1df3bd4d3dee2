"""Two workers on this machine train the same model as one process."""

import json
import os
import pathlib
import socket
import subprocess

import pytest

from tests.ssl_recsys import commands


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_two_workers_equal_one_process(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    method = ("--method=fd", "--logq_correction", "--max_epochs=1")
    alone = tmp_path / "alone"
    commands.train(*commands.small_run(data_dir, alone, *method))
    together = tmp_path / "together"
    arguments = commands.small_run(data_dir, together, *method, "--strategy=multi_worker")
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = [
        subprocess.Popen(
            commands.command("ssl_recsys.train", *arguments),
            cwd=commands.ROOT,
            env={
                **os.environ,
                "CUDA_VISIBLE_DEVICES": "",
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=240)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    one, two = (json.loads((path / "history.json").read_text())[0] for path in (alone, together))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
    assert two["validation_recall@50"] == pytest.approx(one["validation_recall@50"], abs=0.02)
    # One worker writes the run, the other only its own checkpoints.
    assert (together / "metrics.json").is_file()
    assert {path.name for path in together.glob("worker-*/*")} <= {"checkpoints", "best", "logs"}
