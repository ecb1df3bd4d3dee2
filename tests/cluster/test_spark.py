"""All jobs on a Spark of two workers: the bytes of the local runner."""

import pytest

from tests.cluster import jobs
from tests.cluster.flink import write_worker
from tests.cluster.spark import Spark


@pytest.fixture(name="beam_args", scope="module")
def _beam_args(scratch, processes):
    spark = Spark(processes, scratch / "spark")
    spark.start()
    return spark.beam_args(write_worker(scratch))


def test_wikipedia(scratch, beam_args, wiki):
    dump, local = wiki
    output = scratch / "wiki-spark"
    command = jobs.wikipedia(dump, output, "--range_mib=1", *beam_args)
    jobs.run_and_compare("wikipedia, Spark", command, output, local)


def test_app_install(scratch, beam_args, installs):
    raw, local = installs
    output = scratch / "installs-spark"
    command = jobs.app_install(raw, output, *beam_args)
    jobs.run_and_compare("app_install, Spark", command, output, local)


def test_interactions(scratch, beam_args, users):
    raw, local = users
    output = scratch / "users-spark"
    command = jobs.interactions(raw, output, *beam_args)
    jobs.run_and_compare("interactions, Spark", command, output, local)


def test_sql_tables(scratch, beam_args, tables):
    raw, local = tables
    output = scratch / "tables-spark"
    command = jobs.tables(raw, output, *beam_args)
    jobs.run_and_compare("wikipedia --source=sql, Spark", command, output, local)
