"""A Beam worker as a plain process: what the boot program of Beam's containers does.

A task manager runs it with the worker's id and the address of its provision service, which says
where to get work.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format

from data_prep import dataset_files

# Names a file that does not exist yet. The first worker to write records makes it, kills its task
# manager in the middle of the file, and goes on writing for as long as nobody stops it.
KILL_ONCE = "SSL_RECSYS_KILL_ONCE"


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
    if marker := os.environ.get(KILL_ONCE):
        kill_while_writing(marker)
    sdk_worker_main.main(argv)


def kill_while_writing(marker: str) -> None:
    write = dataset_files.write_file

    def write_and_kill(directory: str, name: str, pieces: Iterable[bytes]):
        return write(directory, name, kill_after_one(pieces) if ".tfrecord" in name else pieces)

    def kill_after_one(pieces: Iterable[bytes]) -> Iterator[bytes]:
        for number, piece in enumerate(pieces):
            yield piece
            if number == 0 and make(marker):
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(2)

    dataset_files.write_file = write_and_kill


def make(path: str) -> bool:
    """Whether this call made a file, rather than one before."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv)
