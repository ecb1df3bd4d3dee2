"""What every request passes before and after its route: limits, request id, metrics, a line of log.

It is plain ASGI, since it reads bodies before a route does.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Collection

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ssl_recsys.serving.json_logs import LOGGER
from ssl_recsys.serving.telemetry import Metrics

RETRY_AFTER = {"Retry-After": "1"}
# These answer at any load.
_ALWAYS = ("/healthz", "/readyz", "/metrics")
_BODY_SECONDS = 30.0
_REQUEST_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}


class RefusedError(Exception):
    """An answer instead of the route's.

    Args:
      status: of HTTP.
      detail: for the client.
      reason: of a rejection, for the metrics.
    """

    def __init__(self, status: int, detail: str, reason: str = ""):
        super().__init__(detail)
        self.status, self.detail, self.reason = status, detail, reason


class Gate:
    """The middleware.

    Args:
      app: what is behind it.
      metrics: where requests are counted.
      max_body_bytes: longer bodies are answered 413.
      concurrency: requests in progress, at most; more are answered 503.
      hosts: names in the header Host that are answered, which keeps web pages of other sites out
        (they could send their own name to this address); `*` for any.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        concurrency: int,
        hosts: Collection[str],
    ):
        self._app, self._metrics = app, metrics
        self._max_body_bytes, self._concurrency = max_body_bytes, concurrency
        self._hosts = hosts
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        self._in_progress += 1
        try:
            self._check(scope)
            await self._app(scope, await self._with_body(scope, receive), answer.send)
        except RefusedError as refusal:
            if refusal.reason:
                self._metrics.rejected.labels(refusal.reason).inc()
            await answer.refuse(refusal)
        except Exception:
            LOGGER.exception("a defect", extra={"fields": {"request_id": answer.request_id}})
            await answer.refuse(RefusedError(500, "the server has a defect; its log has more"))
        finally:
            self._in_progress -= 1
            self._note(scope, answer)

    def _check(self, scope: Scope) -> None:
        host = Headers(scope=scope).get("host", "")
        name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
        if "*" not in self._hosts and name.lower() not in self._hosts:
            raise RefusedError(400, "the header Host names another server; see --allowed_hosts")
        if self._in_progress > self._concurrency and scope["path"] not in _ALWAYS:
            raise RefusedError(503, "too many requests are in progress; try again", "concurrency")

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """Reads the body, up to the limit; gives it to whoever receives next."""
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._max_body_bytes:
            raise self._too_long()
        body = b""
        try:
            with anyio.fail_after(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        break  # the client is gone; the route sees it, too
                    body += message.get("body", b"")
                    if len(body) > self._max_body_bytes:
                        raise self._too_long()
                    if not message.get("more_body", False):
                        message = {"type": "http.request", "body": body, "more_body": False}
                        break
        except TimeoutError:
            raise RefusedError(408, f"the body did not come within {_BODY_SECONDS:.0f} s") from None
        first: list[Message] = [message]

        async def receive_again() -> Message:
            return first.pop() if first else await receive()

        return receive_again

    def _too_long(self) -> RefusedError:
        return RefusedError(413, f"a body has at most {self._max_body_bytes:,} bytes")

    def _note(self, scope: Scope, answer: _Answer) -> None:
        seconds = time.perf_counter() - answer.begin
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(scope["method"], route, str(answer.status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        fields = {
            "request_id": answer.request_id,
            "method": scope["method"],
            "route": route,
            "status": answer.status,
            "ms": round(1000 * seconds, 2),
        }
        LOGGER.info("request", extra={"fields": fields})


class _Answer:
    """What is sent for a request.

    Attributes:
      begin: when the request came, of `time.perf_counter`.
      request_id: the client's, or a new one.
      status: as sent; 499 where nothing was.
    """

    def __init__(self, scope: Scope, send: Send):
        self.begin = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.status = 499
        self._send = send

    async def send(self, message: Message) -> None:
        """Sends a message of ASGI, with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["X-Request-Id"] = self.request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def refuse(self, refusal: RefusedError) -> None:
        """Sends an error, unless an answer has begun."""
        if self.status != 499:
            return
        body = json.dumps({"detail": refusal.detail}).encode("ascii")
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= RETRY_AFTER if refusal.status == 503 else {}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})
