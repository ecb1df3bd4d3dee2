"""A Beam worker as a plain process: what the boot program of Beam's containers does.

A task manager runs it with the worker's id and the address of its provision service, which says
where to get work.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format

from data_prep import dataset_files
from data_prep.wiki import link_graph, read_pages

# A moment and the path of a file that does not exist yet. The first worker that comes to the
# moment makes the file, kills its task manager, and goes on for as long as nobody stops it.
KILL_ONCE = "SSL_RECSYS_KILL_ONCE"
READING, SHUFFLING, WRITING = "reading", "shuffling", "writing"


def main(argv: list[str]) -> None:
    given = dict(argument.removeprefix("--").split("=", 1) for argument in argv[1:])
    with grpc.insecure_channel(given["provision_endpoint"]) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        info = service.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            metadata=[("worker_id", given["id"])],
        ).info
    os.environ["WORKER_ID"] = given["id"]
    os.environ["PIPELINE_OPTIONS"] = json_format.MessageToJson(info.pipeline_options)
    os.environ["RUNNER_CAPABILITIES"] = " ".join(info.runner_capabilities)
    for name in ("logging", "control", "status"):
        url = getattr(info, f"{name}_endpoint").url
        if url:
            os.environ[f"{name.upper()}_API_SERVICE_DESCRIPTOR"] = f'url: "{url}"'
    if KILL_ONCE in os.environ:
        moment, marker = os.environ[KILL_ONCE].split(" ", 1)
        kill_once(moment, pathlib.Path(marker))
    sdk_worker_main.main(argv)


def kill_once(moment: str, marker: pathlib.Path) -> None:
    """Has this process kill its parent in the middle of a step, unless one of them has done so."""

    def after_one(pieces: Iterable[Any]) -> Iterator[Any]:
        for number, piece in enumerate(pieces):
            yield piece
            if number == 0 and make(marker):
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(2)

    read, write = read_pages.PageReader.pages, dataset_files.write_file
    resolve = link_graph._resolve_links
    if moment == READING:
        read_pages.PageReader.pages = lambda *given: after_one(read(*given))
    elif moment == SHUFFLING:
        link_graph._resolve_links = lambda *given: after_one(resolve(*given))
    elif moment == WRITING:
        dataset_files.write_file = lambda directory, name, pieces: write(
            directory, name, after_one(pieces) if ".tfrecord" in name else pieces
        )
    else:
        raise ValueError(f"no such moment: {moment}")


def make(path: pathlib.Path) -> bool:
    """Whether this call made a file, rather than one before."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv)
