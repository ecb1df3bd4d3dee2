"""Serves models over HTTP: recommendations, items that come and go, and a page to look at both.

    python -m ssl_recsys.serve --model_dir=runs/wiki_fd --model_dir=runs/wiki_baseline

A model's index is searched where it has one (`ssl_recsys.index`), else its catalog. docs/serving.md
describes the API, which asks nobody who calls: docs/security.md.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import signal

from ssl_recsys import cli
from ssl_recsys.errors import InputError
from ssl_recsys.evaluate import A_MODEL_DIR, MODEL_DIR, VERIFY
from ssl_recsys.options import Options, check_distinct, option
from ssl_recsys.serving import json_logs
from ssl_recsys.training import run_dir

_STOP_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class ServeOptions(Options):
    """The command's flags."""

    model_dir: tuple[str, ...] = option(
        (), f"{MODEL_DIR} May be repeated; the first is the default.", required=A_MODEL_DIR,
        repeated=True,
    )  # fmt: skip
    host: str = option("127.0.0.1", "Address to listen on; 0.0.0.0: on all of this machine.")
    port: int = option(8501, "Port to listen on; 0: one that is free.", at_least=0, at_most=65535)
    allowed_hosts: tuple[str, ...] = option(
        (),
        "Further names by which the server is called (header Host), besides --host and those of "
        "this machine itself; *: any.",
    )
    max_k: int = option(1000, "Largest number of recommendations of a request.", at_least=1)
    max_body_bytes: int = option(1 << 20, "Largest body of a request.", at_least=1)
    concurrency: int = option(256, "Requests in progress, at most; more: 503.", at_least=1)
    queue_size: int = option(128, "Recommendations that wait, at most; more: 503.", at_least=1)
    batch_size: int = option(64, "Recommendations that are computed together.", at_least=1)
    batch_wait_ms: float = option(
        0.0, "How long a batch that is not full waits for more.", at_least=0, at_most=1000
    )
    poll_seconds: float = option(
        2.0, "How often a newer model or index is looked for.", at_least=0.05
    )
    keep_versions: int = option(
        100,
        "Versions of the index that changes of items leave, the newest; 0: all. Builds are kept.",
        at_least=0,
    )
    log_level: str = option("info", "Lines of log; info: one a request.", choices=json_logs.LEVELS)
    verify: bool = option(True, VERIFY)


def main(options: ServeOptions) -> None:
    """Serves until a signal stops it; what was begun is finished."""
    check_distinct("--model_dir", options.model_dir)
    for path in options.model_dir:
        run_dir.finished_run(path)  # before TensorFlow is loaded
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{package} is not installed: pip install 'ssl-recsys[serve]'")
    json_logs.log_json(options.log_level)  # before others log
    import uvicorn

    from ssl_recsys.serving.app import make_app
    from ssl_recsys.serving.served import Models
    from ssl_recsys.serving.server import OWN_HOSTS, Limits

    models = Models.load(
        options.model_dir, verify=options.verify, keep_versions=options.keep_versions
    )
    limits = Limits(
        max_k=options.max_k,
        max_body_bytes=options.max_body_bytes,
        concurrency=options.concurrency,
        queue_size=options.queue_size,
        batch_size=options.batch_size,
        batch_wait_ms=options.batch_wait_ms,
        poll_seconds=options.poll_seconds,
        hosts=(*OWN_HOSTS, options.host.lower(), *map(str.lower, options.allowed_hosts)),
    )
    config = uvicorn.Config(
        make_app(models, limits),
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    # uvicorn stops cleanly, and then raises the signal again, which is to end nothing any more.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    cli.run(main, ServeOptions)
