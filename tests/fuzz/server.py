"""Sends a running server requests that schemathesis makes up from its OpenAPI description.

    python -m tests.fuzz.server --url=http://127.0.0.1:8501 --requests=10000

Half of them fit the description, half do not. A failure is a status of 500 or more but 503, an
answer with a traceback, an error that is not `{"detail": "a sentence"}`, or none. Needs the extra
`fuzz`; serve a copy of a model, whose items will change.
"""

from __future__ import annotations

import argparse
import collections
import sys
from typing import Any

import hypothesis
import requests
import schemathesis


def fault(response: Any) -> str | None:
    """What is wrong with an answer."""
    if response.status_code >= 500 and response.status_code != 503:
        return f"status {response.status_code}"
    if "Traceback" in response.text or '.py", line' in response.text:
        return "a traceback"
    if response.status_code >= 400:
        try:
            content = response.json()
        except ValueError:
            return "an error that is not JSON"
        if not isinstance(content.get("detail", content.get("status")), str):
            return "an error without a sentence"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--requests", type=int, default=10_000, help="about so many")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    schema = schemathesis.openapi.from_url(f"{options.url}/openapi.json")
    operations = [one.ok() for one in schema.get_all_operations()]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    # The others have one request each.
    varied = [one for one in operations if {"parameters", "requestBody"} & {*one.definition.raw}]
    each = -(-options.requests // (len(varied) * len(modes)))
    statuses: collections.Counter[int] = collections.Counter()
    faults: dict[str, str] = {}
    session = requests.Session()

    def send(operation: Any, mode: Any) -> None:
        settings = hypothesis.settings(
            max_examples=each,
            deadline=None,
            database=None,
            suppress_health_check=[*hypothesis.HealthCheck],
            phases=[hypothesis.Phase.generate],
        )

        @hypothesis.seed(options.seed)
        @settings
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            try:
                response = case.call(base_url=options.url, session=session, timeout=120)
            except requests.exceptions.InvalidURL:
                return
            statuses[response.status_code] += 1
            if (what := fault(response)) is not None:
                faults.setdefault(f"{operation.label}: {what}", case.as_curl_command())

        one()

    for operation in operations:
        for mode in modes:
            try:
                send(operation, mode)
            except hypothesis.errors.Unsatisfiable:  # nothing can be wrong with it
                print(f"{operation.label}: no {mode.value} requests", flush=True)
        print(f"{operation.label}: {sum(statuses.values()):,} requests so far", flush=True)
    print(", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items())))
    for what, command in faults.items():
        print(f"{what}\n    {command}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
