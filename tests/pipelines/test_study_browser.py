"""The report in a headless browser, as wide as a desk's and a phone's screen, and printed."""

import pytest

from pipelines.experiments.studies import process
from pipelines.experiments.studies.store import Store
from ssl_recsys import files
from ssl_recsys.methods import METHODS
from tests import browser, study_runs


@pytest.fixture(name="page", scope="module")
def _page(report):
    with browser.launched() as chromium:
        page = chromium.new_page()
        page.goto(report.as_uri())
        # Without fonts nothing has a width, and everything fits.
        assert page.evaluate("document.querySelector('tbody td').offsetWidth") > 40
        yield page


@pytest.fixture(name="report", scope="module")
def _report(tmp_path_factory):
    """A report with every method, as wide as they get."""
    directory = tmp_path_factory.mktemp("report")
    study = study_runs.study(methods=tuple(METHODS), alphas=(0.1, 0.3, 1.0, 3.0))
    store = Store(directory)
    process.carry_out(study, store, study_runs.FormulaRunner(store.runs_dir))
    files.write_json(directory / process.FREQUENCY_FILE, study_runs.FREQUENCY)
    process.write_report(study, store, directory, study_runs.INFO)
    return directory / "report.html"


@pytest.mark.parametrize("width", [1280, 375, 320])
def test_nothing_overflows_and_no_image_is_missing(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    images = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.offsetWidth])")
    assert len(images) == 6
    assert all(natural > 0 and shown <= width for natural, shown in images)
    # What is wider than its column scrolls inside it: tables of numbers alone.
    wide = page.evaluate(
        """[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)
           .map(e => e.firstChild.className)"""
    )
    assert set(wide) <= {"numbers"}


def test_a_printed_page_cuts_nothing_off(page):
    # A4 less margins of 1 cm at 96 dpi: 718 pixels.
    page.set_viewport_size({"width": 718, "height": 1000})
    page.emulate_media(media="print")
    ends = page.evaluate(
        "[...document.querySelectorAll('td')].map(e => e.getBoundingClientRect().right)"
    )
    assert 0 < max(ends) <= 718
