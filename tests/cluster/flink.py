"""A Flink cluster on this machine: a job manager, task managers, and Beam's job server."""

from __future__ import annotations

import json
import pathlib
import sys
import urllib.request
from typing import Any

from tests.cluster import java
from tests.cluster.processes import HOST, Processes, free_port, is_open, wait_for
from tests.cluster.worker import KILL_ONCE

ROOT = pathlib.Path(__file__).parents[2]
_ENTRY = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_CONFIG = {
    "rest.address": HOST,
    "rest.bind-address": HOST,
    # For how long answers about a job may be old: milliseconds.
    "web.refresh-interval": 100,
    "jobmanager.rpc.address": HOST,
    "jobmanager.bind-host": HOST,
    "jobmanager.memory.process.size": "1024m",
    "taskmanager.host": HOST,
    "taskmanager.bind-host": HOST,
    "taskmanager.numberOfTaskSlots": 1,
    "taskmanager.cpu.cores": 1.0,
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.task.heap.size": "640m",
    "taskmanager.memory.task.off-heap.size": "64m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.network.min": "128m",
    "taskmanager.memory.network.max": "128m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
    "taskmanager.memory.managed.size": "256m",
    "restart-strategy.type": "fixed-delay",
    # A lost task manager is noticed late, and its slots are given out again until then.
    "restart-strategy.fixed-delay.attempts": 20,
    "restart-strategy.fixed-delay.delay": "2 s",
    "heartbeat.interval": 1000,
    "heartbeat.timeout": 15000,
    "classloader.resolve-order": "parent-first",
}
_LOGS = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class Flink:
    """A running cluster.

    Args:
      processes: what it is started with.
      scratch: directory for its configuration, temporary files and artifacts.
    """

    def __init__(self, processes: Processes, scratch: pathlib.Path):
        self.processes = processes
        self.names: list[str] = []
        self._scratch = scratch
        self._class_path = f"{java.jars('flink')}/*"
        self._rest, self._rpc, self._jobs = free_port(), free_port(), free_port()

    def start(self, task_managers: int = 2) -> None:
        """Starts all processes and waits until they serve."""
        config = {**_CONFIG, "rest.port": self._rest, "jobmanager.rpc.port": self._rpc}
        directory = self._scratch / "conf"
        directory.mkdir(parents=True)
        lines = [f"{name}: {value}\n" for name, value in config.items()]
        (directory / "config.yaml").write_text("".join(lines))
        self._run("jobmanager", "512m", _ENTRY)
        for _ in range(task_managers):
            self.add_task_manager()
        self.processes.start(
            "job-server",
            java.command(
                self._class_path,
                _JOB_SERVER,
                f"--flink-master={HOST}:{self._rest}",
                f"--job-host={HOST}",
                f"--job-port={self._jobs}",
                f"--artifact-port={free_port()}",
                "--expansion-port=0",
                f"--artifacts-dir={self._scratch / 'artifacts'}",
                options=("-Xmx512m", *_LOGS),
            ),
        )
        wait_for("the job server", lambda: self._serves(lambda: is_open(self._jobs)), 120)
        self.wait_for_task_managers(task_managers)

    def add_task_manager(self) -> str:
        """Starts one more task manager and returns its name, which is its resource id, too."""
        name = f"taskmanager-{len(self.names) + 1}"
        self.names.append(name)
        directory = self._scratch / name
        self._run(
            name,
            "768m",
            _TASK_MANAGER,
            f"-Dtaskmanager.resource-id={name}",
            f"-Dio.tmp.dirs={directory}",
        )
        return name

    def wait_for_task_managers(self, number: int) -> None:
        """Waits until so many task managers, or more, have registered."""
        wait_for(
            f"{number} task managers",
            lambda: self._serves(lambda: len(self.get("taskmanagers")["taskmanagers"]) >= number),
            120,
        )

    def _serves(self, condition: Any) -> bool:
        self.processes.check_ended()
        try:
            return bool(condition())
        except OSError:
            return False

    def _run(self, name: str, heap: str, main: str, *more: str) -> None:
        arguments = ["--configDir", self._scratch / "conf", *more]
        options = (f"-Xmx{heap}", "-XX:MaxDirectMemorySize=512m", *_LOGS)
        self.processes.start(
            name, java.command(self._class_path, main, *arguments, options=options)
        )

    def get(self, path: str) -> Any:
        """An answer of the job manager."""
        with urllib.request.urlopen(f"http://{HOST}:{self._rest}/{path}", timeout=10) as answer:
            return json.load(answer)

    def beam_args(self, worker: pathlib.Path) -> list[str]:
        """The options that run a Beam pipeline here, in the workers that a program starts."""
        return portable_args(self._jobs, worker)

    def carried_out(self, step: str) -> set[str]:
        """The task managers that had a part of a step of any job, by a part of its name."""
        found = set()
        for job in self.get("jobs")["jobs"]:
            for vertex in self.get(f"jobs/{job['id']}")["vertices"]:
                if step in vertex["name"]:
                    tasks = self.get(f"jobs/{job['id']}/vertices/{vertex['id']}")["subtasks"]
                    found |= {task["taskmanager-id"] for task in tasks}
        return found

    def restarts(self) -> int:
        """How many jobs were restarted, once or more."""
        jobs = (self.get(f"jobs/{job['id']}") for job in self.get("jobs")["jobs"])
        return sum(job["timestamps"]["RESTARTING"] > 0 for job in jobs)


def portable_args(job_port: int, worker: pathlib.Path) -> list[str]:
    """The options that send a Beam pipeline to a job server."""
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={HOST}:{job_port}",
        "--environment_type=PROCESS",
        f"--environment_config={json.dumps({'command': str(worker)})}",
        # Else a Python worker is started anew for each step.
        "--environment_cache_millis=60000",
        "--parallelism=2",
    ]


def write_worker(
    scratch: pathlib.Path,
    *,
    hidden: pathlib.Path | None = None,
    kill_once: tuple[str, pathlib.Path] | None = None,
) -> pathlib.Path:
    """Writes the program that starts a Python worker.

    Args:
      scratch: directory for it, and for the workers' logs.
      hidden: a directory in whose place the workers see an empty one.
      kill_once: the moment at which a worker kills its task manager, and a file that is made
        then; see `worker.KILL_ONCE`.
    """
    logs, empty = scratch / "workers", scratch / "empty"
    logs.mkdir(parents=True)
    run = f'exec "{sys.executable}" -m tests.cluster.worker "$@"'
    if kill_once is not None:
        run = f'export {KILL_ONCE}="{kill_once[0]} {kill_once[1]}"; {run}'
    if hidden is not None:
        empty.mkdir()
        run = (
            "exec unshare --user --map-root-user --mount "
            f'sh -c \'mount --bind "{empty}" "{hidden}" && {run}\' worker "$@"'
        )
    path = scratch / "worker.sh"
    path.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec >> "{logs}/$$.log" 2>&1\n{run}\n')
    path.chmod(0o755)
    return path
