"""Keeps Beam's servers in this process to 127.0.0.1.

To serve worker processes, Beam's local runner listens on all interfaces, without authentication,
and gives out any file that the user may read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc

from ssl_recsys.errors import InputError

ADDRESS = "127.0.0.1"
_HOSTS = ("[::]", "0.0.0.0", "", "localhost", "[::1]", ADDRESS)
# It reads any file. Worker processes have the job's own disk and never ask for one.
_FILE_SERVICE = "ArtifactRetrievalService"


@contextlib.contextmanager
def only() -> Iterator[None]:
    """Within the block, what is made with `grpc.server` listens on 127.0.0.1 only.

    Raises:
      InputError: if this version of Beam makes its servers in another way.
    """
    from apache_beam.runners.portability import abstract_job_service, local_job_service
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    for module in (abstract_job_service, local_job_service, worker_handlers):
        if getattr(module, "grpc", None) is not grpc:
            raise InputError(
                f"{module.__name__} does not make its servers as expected and might listen on all "
                "interfaces; install a version of apache-beam that setup.py names"
            )
    make: Any = grpc.server

    def server(*args: Any, **kwargs: Any) -> Any:
        return _LoopbackServer(make(*args, **kwargs))

    grpc.server = server
    try:
        yield
    finally:
        grpc.server = make


class _LoopbackServer:
    """A gRPC server that listens on 127.0.0.1, and does not serve files."""

    def __init__(self, server: Any):
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def add_insecure_port(self, address: str) -> int:
        """Listens on 127.0.0.1 in place of all interfaces.

        Raises:
          InputError: for an address beyond this machine, or if the port cannot be had.
        """
        host, _, port = address.rpartition(":")
        if host not in _HOSTS:
            raise InputError(f"a server of Apache Beam may not listen on {address}")
        bound = f"{ADDRESS}:{port}"
        try:
            number = self._server.add_insecure_port(bound)
        except RuntimeError as error:
            raise InputError(f"a server of Apache Beam cannot listen on {bound}") from error
        if not number:
            raise InputError(f"a server of Apache Beam cannot listen on {bound}")
        return number

    def add_secure_port(self, address: str, credentials: Any) -> int:
        """Raises InputError: Beam makes no such port here."""
        raise InputError(f"a server of Apache Beam may not listen on {address}")

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Adds handlers, but for those of the service that reads files."""
        served = [each for each in handlers if not _gives_files(each.service_name())]
        self._server.add_generic_rpc_handlers(served)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """As `add_generic_rpc_handlers`."""
        if not _gives_files(service):
            self._server.add_registered_method_handlers(service, handlers)


def _gives_files(service: str) -> bool:
    return service.rpartition(".")[2] == _FILE_SERVICE
