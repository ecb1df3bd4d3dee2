"""A Spark cluster on this machine: a master, workers, and Beam's job server."""

from __future__ import annotations

import pathlib

from tests.cluster import java
from tests.cluster.flink import portable_args
from tests.cluster.processes import HOST, Processes, free_port, is_open, wait_for

_MASTER = "org.apache.spark.deploy.master.Master"
_WORKER = "org.apache.spark.deploy.worker.Worker"
_JOB_SERVER = "org.apache.beam.runners.spark.SparkJobServerDriver"


class Spark:
    """A running cluster.

    Args:
      processes: what it is started with.
      scratch: directory for its work and artifacts.
    """

    def __init__(self, processes: Processes, scratch: pathlib.Path):
        self._processes = processes
        self._scratch = scratch
        self._jars = java.jars("spark")
        self._master, self._jobs = free_port(), free_port()

    def start(self, workers: int = 2) -> None:
        """Starts all processes and waits until they serve."""
        # Workers start executors with the jars of a Spark home.
        self._scratch.mkdir(parents=True)
        (self._scratch / "jars").symlink_to(self._jars)
        where = ("--host", HOST, "--port", self._master, "--webui-port", free_port())
        self._run("master", "512m", _MASTER, *where)
        wait_for("Spark's master", lambda: is_open(self._master), 120)
        for number in range(1, workers + 1):
            directory = self._scratch / f"worker-{number}"
            arguments = ("--host", HOST, "--cores", 1, "--memory", "1500m")
            ports = ("--webui-port", free_port(), "--work-dir", directory)
            self._run(f"worker-{number}", "400m", _WORKER, *arguments, *ports, self._url)
        self._run(
            "job-server",
            "1g",
            _JOB_SERVER,
            f"--spark-master-url={self._url}",
            f"--job-host={HOST}",
            f"--job-port={self._jobs}",
            f"--artifact-port={free_port()}",
            "--expansion-port=0",
            f"--artifacts-dir={self._scratch / 'artifacts'}",
            options=(
                "-Dspark.executor.memory=1000m",
                f"-Dspark.cores.max={workers}",
                f"-Dspark.driver.host={HOST}",
                f"-Dspark.executor.extraJavaOptions={' '.join(java.opens())}",
            ),
        )
        wait_for("the job server", lambda: is_open(self._jobs), 120)

    @property
    def _url(self) -> str:
        return f"spark://{HOST}:{self._master}"

    def _run(
        self, name: str, heap: str, main: str, *arguments: object, options: tuple[str, ...] = ()
    ) -> None:
        self._processes.start(
            name,
            java.command(f"{self._jars}/*", main, *arguments, options=(f"-Xmx{heap}", *options)),
            env={
                "SPARK_HOME": str(self._scratch),
                "SPARK_SCALA_VERSION": "2.12",
                "SPARK_LOCAL_IP": HOST,
            },
        )

    def beam_args(self, worker: pathlib.Path) -> list[str]:
        """The options that run a Beam pipeline here, in the workers that a program starts."""
        return portable_args(self._jobs, worker)
