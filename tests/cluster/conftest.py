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


@pytest.fixture(name="wiki", scope="session")
def _wiki(scratch):
    """A made-up dump, and the local runner's dataset of it."""
    dump = scratch / "dump.xml"
    make = ("--kind=wikipedia", "--num_items=2000", f"--output={dump}")
    jobs.run(*jobs.command("pipelines.synthetic", *make))
    local = scratch / "wiki-local"
    jobs.run(*jobs.wikipedia(dump, local))
    return dump, local


@pytest.fixture(name="installs", scope="session")
def _installs(scratch):
    """A made-up log with its table, and the local runner's dataset of them."""
    raw = scratch / "installs"
    make = ("--kind=app_install", "--num_items=300", f"--output={raw}")
    jobs.run(*jobs.command("pipelines.synthetic", *make))
    local = scratch / "installs-local"
    jobs.run(*jobs.app_install(raw, local))
    return raw, local


@pytest.fixture(name="users", scope="session")
def _users(scratch, installs):
    """The same log and table, and the local runner's dataset of their users."""
    local = scratch / "users-local"
    jobs.run(*jobs.interactions(installs[0], local))
    return installs[0], local


@pytest.fixture(name="tables", scope="session")
def _tables(scratch):
    """SQL tables of a made-up wiki, and the local runner's dataset of them."""
    raw = scratch / "tables"
    make = ("--kind=wikipedia_sql", "--num_items=500", f"--output={raw}")
    jobs.run(*jobs.command("pipelines.synthetic", *make))
    local = scratch / "tables-local"
    jobs.run(*jobs.tables(raw, local))
    return raw, local
