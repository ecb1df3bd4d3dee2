"""The web application: routes behind the gate, and errors as plain sentences."""

from __future__ import annotations

import contextlib
import importlib.metadata
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import prometheus_client
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from ssl_recsys.errors import InputError, InUseError, printable
from ssl_recsys.serving import api_routes, messages, page_routes
from ssl_recsys.serving.batches import QueueFullError
from ssl_recsys.serving.gate import RETRY_AFTER, Gate
from ssl_recsys.serving.live_model import UnknownItemError
from ssl_recsys.serving.map import Layouts
from ssl_recsys.serving.served import ItemExistsError, Models, UnknownModelError
from ssl_recsys.serving.server import Limits, Server

PAGE = pathlib.Path(__file__).parent / "page"
# Routes are looked for in the order of the routers.
ROUTERS = (api_routes.router, page_routes.router)
_STATUS = {UnknownItemError: 404, UnknownModelError: 404, ItemExistsError: 412}
_MOST_FAULTS = 3


def make_app(models: Models, limits: Limits) -> FastAPI:
    """The application that serves models."""
    server, layouts = Server(models, limits), Layouts()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        async with server.running():
            yield
        layouts.close()

    # The pages of documentation load scripts from elsewhere, so there are none.
    app = FastAPI(
        title="ssl-recsys",
        version=importlib.metadata.version("ssl-recsys"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.server, app.state.layouts = server, layouts
    app.add_middleware(
        Gate,
        metrics=server.metrics,
        max_body_bytes=limits.max_body_bytes,
        concurrency=limits.concurrency,
        hosts=limits.hosts,
    )
    _handle_errors(app, server)
    _add_probes(app, server)
    for router in ROUTERS:
        app.include_router(router)
    if (PAGE / "index.html").is_file():
        _add_page(app)
    return app


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/static", StaticFiles(directory=PAGE), name="static")


def _add_probes(app: FastAPI, server: Server) -> None:
    @app.get("/healthz", response_model=messages.Status)
    async def healthz() -> Any:
        """Answers while the server runs."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", response_model=messages.Status, responses={503: {}})
    async def readyz() -> Any:
        """Whether a recommendation would be taken now."""
        if server.has_room:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "busy"}, 503, RETRY_AFTER)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        return Response(
            server.metrics.text(), media_type=prometheus_client.exposition.CONTENT_TYPE_LATEST
        )


def _handle_errors(app: FastAPI, server: Server) -> None:
    def answer(status: int, detail: str) -> JSONResponse:
        headers = RETRY_AFTER if status == 503 else None
        return JSONResponse({"detail": printable(detail)}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        del request
        faults = [*map(_fault, error.errors())]
        more = len(faults) - _MOST_FAULTS
        shown = faults[:_MOST_FAULTS] + ([f"and {more} more"] if more > 0 else [])
        return answer(422, "; ".join(shown))

    @app.exception_handler(InputError)
    async def unusable(request: Request, error: InputError) -> JSONResponse:
        del request
        if isinstance(error, InUseError):
            server.metrics.rejected.labels("index_in_use").inc()
            return answer(503, str(error))
        return answer(_STATUS.get(type(error), 422), str(error))

    @app.exception_handler(QueueFullError)
    async def busy(request: Request, error: QueueFullError) -> JSONResponse:
        del request, error
        server.metrics.rejected.labels("queue_full").inc()
        return answer(503, "too many requests are waiting; try again")


def _fault(error: dict[str, Any]) -> str:
    """What is wrong in a request, as a sentence that names the field."""
    if error["type"] == "json_invalid":
        return f"the body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    where = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))
    said = error["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
