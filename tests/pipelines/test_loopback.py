import io
import socket
from concurrent import futures

import grpc
import pytest
from apache_beam.portability.api import beam_artifact_api_pb2, beam_artifact_api_pb2_grpc
from apache_beam.runners.portability import artifact_service
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from pipelines import loopback
from ssl_recsys.errors import InputError
from tests import listening


def make_server():
    return grpc.server(futures.ThreadPoolExecutor(1))


def test_servers_listen_on_127_0_0_1_only():
    with socket.create_server(("0.0.0.0", 0)):
        assert "0.0.0.0" in listening.addresses()  # so that the watch can see it
    before = listening.addresses()
    with loopback.only():
        server = make_server()
        assert server.add_insecure_port("[::]:0") > 0
        assert server.add_insecure_port("0.0.0.0:0") > 0
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(InputError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
                server.add_insecure_port(f"[::]:{port}")
        with pytest.raises(InputError, match=r"may not listen on 192\.0\.2\.1:80"):
            server.add_insecure_port("192.0.2.1:80")
        assert listening.addresses() - before <= {"127.0.0.1"}
        server.stop(None)


def test_files_are_not_served():
    with loopback.only():
        server = make_server()
        port = server.add_insecure_port("[::]:0")
        service = artifact_service.ArtifactRetrievalService(lambda path: io.BytesIO(b"secret"))
        beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(service, server)
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
            request = beam_artifact_api_pb2.GetArtifactRequest()
            with pytest.raises(grpc.RpcError) as error:
                list(stub.GetArtifact(request, timeout=10))
        server.stop(None)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_beam_that_makes_servers_in_another_way_is_refused(monkeypatch):
    monkeypatch.setattr(worker_handlers, "grpc", None)
    with pytest.raises(InputError, match=r"might listen on all interfaces"), loopback.only():
        pass
