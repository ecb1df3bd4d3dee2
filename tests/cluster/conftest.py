"""Runs cluster tests only where `python -m tests.cluster` has prepared everything."""

import os
import pathlib
import socket

import pytest

from tests.cluster import java, jobs
from tests.cluster.__main__ import INSIDE
from tests.cluster.processes import Processes

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.stem.removeprefix("test_")
        if item.path.parent == HERE and os.environ.get(INSIDE) != name:
            reason = java.missing() or "runs it, by itself"
            item.add_marker(pytest.mark.skip(reason=f"make {name}-test {reason}"))


def pytest_terminal_summary(terminalreporter):
    if jobs.RESULTS:
        terminalreporter.section("compared with the local runner, file by file (sha256)")
        for line in jobs.table():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def alone():
    """That nothing outside can reach what the tests start."""
    assert [name for _, name in socket.if_nameindex() if name != "lo"] == []


@pytest.fixture(name="scratch", scope="session")
def _scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(name="processes", scope="session")
def _processes(scratch, alone):
    processes = Processes(scratch / "logs")
    try:
        yield processes
    finally:
        processes.stop()


def _made(scratch, name, kind, num_items, job, file=""):
    """Synthetic input, and the local runner's dataset of it by a command of `jobs`."""
    raw, local = scratch / f"{name}{file}", scratch / f"{name}-local"
    make = (f"--kind={kind}", f"--num_items={num_items}", f"--output={raw}")
    jobs.run(*jobs.command("pipelines.synthetic", *make))
    jobs.run(*job(raw, local))
    return raw, local


@pytest.fixture(name="wiki", scope="session")
def _wiki(scratch):
    """A made-up dump, and the local runner's dataset of it."""
    return _made(scratch, "wiki", "wikipedia", 2000, jobs.wikipedia, file=".xml")


@pytest.fixture(name="installs", scope="session")
def _installs(scratch):
    """A made-up log with its table, and the local runner's dataset of them."""
    return _made(scratch, "installs", "app_install", 300, jobs.app_install)


@pytest.fixture(name="users", scope="session")
def _users(scratch, installs):
    """The same log and table, and the local runner's dataset of their users."""
    local = scratch / "users-local"
    jobs.run(*jobs.interactions(installs[0], local))
    return installs[0], local


@pytest.fixture(name="tables", scope="session")
def _tables(scratch):
    """SQL tables of a made-up wiki, and the local runner's dataset of them."""
    return _made(scratch, "tables", "wikipedia_sql", 500, jobs.tables)
