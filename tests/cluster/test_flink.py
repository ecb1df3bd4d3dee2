"""All jobs on a Flink of two task managers: the bytes of the local runner, whatever is killed."""

import functools
import gzip
import hashlib
import itertools
import os
import re
import sys

import pytest

from tests.cluster import jobs, worker
from tests.cluster.flink import Flink, write_worker
from tests.cluster.processes import HOST, free_port, is_open, wait_for

BUCKET = "s3://bucket"


@pytest.fixture(name="flink", scope="module")
def _flink(scratch, processes):
    flink = Flink(processes, scratch / "flink")
    flink.start()
    return flink


@pytest.fixture(name="beam_args", scope="module")
def _beam_args(flink, scratch):
    return flink.beam_args(write_worker(scratch))


def test_workers_are_on_both(scratch, flink, beam_args, wiki):
    dump, local = wiki
    output = scratch / "wiki-flink"
    command = jobs.wikipedia(dump, output, "--range_mib=1", *beam_args)
    seconds, _ = jobs.timed(jobs.run, *command)
    assert flink.carried_out("ReadPages") == set(flink.names)
    assert all(flink.processes.children(name) for name in flink.names)
    jobs.compare("wikipedia, Flink", seconds, local, jobs.digests(output))


def test_app_install(scratch, beam_args, installs):
    raw, local = installs
    output = scratch / "installs-flink"
    command = jobs.app_install(raw, output, *beam_args)
    jobs.run_and_compare("app_install, Flink", command, output, local)


def test_interactions(scratch, beam_args, users):
    raw, local = users
    output = scratch / "users-flink"
    command = jobs.interactions(raw, output, *beam_args)
    jobs.run_and_compare("interactions, Flink", command, output, local)


def test_sql_tables(scratch, beam_args, tables):
    raw, local = tables
    output = scratch / "tables-flink"
    command = jobs.tables(raw, output, *beam_args)
    jobs.run_and_compare("wikipedia --source=sql, Flink", command, output, local)


@pytest.mark.parametrize(
    ("moment", "label"),
    [
        (worker.READING, "while pages are read"),
        (worker.SHUFFLING, "while links are shuffled"),
        (worker.WRITING, "in the middle of a record file"),
    ],
)
def test_a_task_manager_dies_and_its_worker_goes_on(scratch, flink, wiki, moment, label):
    dump, local = wiki
    output, marker = scratch / f"killed-{moment}", scratch / f"killer-{moment}" / "killed"
    beam_args = flink.beam_args(write_worker(marker.parent, kill_once=(moment, marker)))
    restarts, dead = flink.restarts(), flink.processes.killed()

    def replace():
        if flink.processes.killed() == dead:
            return False
        flink.add_task_manager()
        return True

    command = jobs.wikipedia(dump, output, "--range_mib=1", *beam_args)
    seconds, _ = jobs.timed(jobs.run_watched, command, replace)
    (killed,) = flink.processes.killed() - dead
    assert flink.restarts() == restarts + 1
    jobs.compare(f"wikipedia, Flink, {killed} killed {label}", seconds, local, jobs.digests(output))


def test_hosts_without_a_common_disk(scratch, flink, wiki):
    """All workers have an empty disk where the command writes, as on other hosts."""
    own = scratch / "own-disk"
    own.mkdir()
    beam_args = flink.beam_args(write_worker(scratch / "isolated", hidden=own))
    command = jobs.wikipedia(wiki[0], own / "data", *beam_args)
    seconds, done = jobs.timed(jobs.outcome, *command)
    assert done.returncode == 2, done.stderr[-6000:]
    assert re.search(
        r"error: a worker on the host .* cannot read .*/own-disk/data\.incomplete-\w+/probe\.json, "
        "which this command has written. Input and output must lie where",
        done.stderr.splitlines()[-1],
    ), done.stderr[-6000:]
    assert list(own.iterdir()) == []
    jobs.note("wikipedia, Flink, no common disk", seconds, "refused, with the reason")


@pytest.fixture(name="s3", scope="module")
def _s3(processes):
    """A local S3 server with an empty bucket: its client, and Beam's options for it."""
    import boto3

    port = free_port()
    server = [sys.executable, "-m", "moto.server", f"-H{HOST}", f"-p{port}"]
    processes.start("s3", server)
    wait_for("the S3 server", functools.partial(is_open, port), 60)
    access = {"endpoint_url": f"http://{HOST}:{port}", "region_name": "us-east-1"}
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    client = boto3.client("s3", **access, **keys)
    client.create_bucket(Bucket="bucket")
    options = {**access, "access_key_id": "any", "secret_access_key": "any"}
    return client, [f"--s3_{name}={value}" for name, value in options.items()]


def objects(client, prefix):
    listed = client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    return {
        entry["Key"].removeprefix(prefix): client.get_object(Bucket="bucket", Key=entry["Key"])[
            "Body"
        ].read()
        for entry in listed
    }


@pytest.mark.parametrize("job", ["wikipedia", "app_install"])
def test_from_bucket_to_bucket(beam_args, s3, wiki, installs, job):
    client, options = s3
    if job == "wikipedia":
        dump, local = wiki
        client.upload_file(str(dump), "bucket", "raw/dump.xml")
        command = jobs.wikipedia(f"{BUCKET}/raw/dump.xml", f"{BUCKET}/{job}")
    else:
        raw, local = installs
        for name in os.listdir(raw):
            client.upload_file(str(raw / name), "bucket", f"raw/{name}")
        command = jobs.app_install(f"{BUCKET}/raw", f"{BUCKET}/{job}")
    seconds, _ = jobs.timed(jobs.run, *command, *options, *beam_args)
    written = objects(client, f"{job}/")
    assert objects(client, job).keys() == {f"/{name}" for name in written}, "left over"
    found = {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    jobs.compare(f"{job}, Flink, s3 to s3", seconds, local, found, written["dataset.json"])


@pytest.mark.skipif(not jobs.SHARED.is_dir(), reason="no real data (SSL_RECSYS_SHARED_DATA)")
def test_real_input(scratch, beam_args):
    dump = jobs.SHARED / "wikipedia" / "xml_fixtures" / "enwiki-2016-206pages.xml.bz2"
    outputs = [scratch / f"real-{name}" for name in ("local", "flink")]
    jobs.run(*jobs.wikipedia(dump, outputs[0]))
    command = jobs.wikipedia(dump, outputs[1], "--range_mib=1", *beam_args)
    jobs.run_and_compare("wikipedia, 206 real pages, Flink", command, outputs[1], outputs[0])
    raw = scratch / "myket"
    raw.mkdir()
    with (
        gzip.open(jobs.SHARED / "myket" / "installs.csv.gz") as log,
        gzip.open(raw / "installs.csv.gz", "wb") as cut,
    ):
        cut.writelines(itertools.islice(log, 20_000))
    (raw / "apps.csv").write_bytes((jobs.SHARED / "myket" / "apps.csv").read_bytes())
    outputs = [scratch / f"myket-{name}" for name in ("local", "flink")]
    jobs.run(*jobs.app_install(raw, outputs[0], "--item_column=app_name"))
    command = jobs.app_install(raw, outputs[1], "--item_column=app_name", *beam_args)
    label = "app_install, 20,000 real installs, Flink"
    jobs.run_and_compare(label, command, outputs[1], outputs[0])
