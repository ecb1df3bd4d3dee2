"""A Beam worker as a plain process: what the boot program of Beam's containers does.

A task manager runs it with the worker's id and the address of its provision service, which says
where to get work.
"""

from __future__ import annotations

import os
import sys

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format


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
    sdk_worker_main.main(argv)


if __name__ == "__main__":
    main(sys.argv)
