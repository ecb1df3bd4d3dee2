"""A headless Chromium for tests of pages.

Needs the package playwright and a Chromium: one that CHROMIUM names, one on the path, or
playwright's own (`playwright install chromium`). Without them such tests are skipped; with
REQUIRE_BROWSER=1, as `make browser-test` has it, they fail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
# Nothing but what the page asks for goes over the network.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A browser of playwright's; the test that asks for it is skipped where there is none."""
    try:
        from playwright import sync_api
    except ImportError:
        _lacking("needs the package playwright: pip install 'ssl-recsys[browser]'")
    with sync_api.sync_playwright() as driver:
        found = [os.environ.get("CHROMIUM"), *map(shutil.which, _NAMES)]
        path = next(filter(None, found), driver.chromium.executable_path)
        if not os.path.exists(path):
            _lacking("needs a Chromium: playwright install chromium, or CHROMIUM=its path")
        browser = driver.chromium.launch(executable_path=path, args=[*_FLAGS])
        yield browser
        browser.close()


def expect(located: Any) -> Any:
    """Assertions of playwright's about a locator, which wait until they hold."""
    from playwright import sync_api

    return sync_api.expect(located)


def _lacking(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
