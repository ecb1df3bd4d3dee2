"""The server's page in a headless browser, as wide as a desk's and a phone's screen."""

from __future__ import annotations

import json
import pathlib
import re
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests import browser
from tests.browser import expect
from tests.ssl_recsys import shop

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
OPEN = "#suggestions:not([hidden]) [role=option]"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.launched() as found:
        yield found


@pytest.fixture(scope="module")
def address(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    del chromium  # where there is none nothing is trained
    directory: pathlib.Path = tmp_path_factory.mktemp("shop")
    with shop.served(shop.train(directory)) as found:
        yield found


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def viewport(request: pytest.FixtureRequest) -> dict[str, int]:
    return request.param


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; in the end none had an error or was wider than its screen."""
    pages: list[Any] = []
    faults: list[str] = []

    def note(text: str) -> None:
        if "412 (Precondition Failed)" not in text:  # an item that is there was not to be replaced
            faults.append(text)

    def open_page(address: str, viewport: dict[str, int] = DESK, **options: Any) -> Any:
        page = chromium.new_page(viewport=viewport, **options)
        page.set_default_timeout(120_000)  # on a busy machine the first map takes its time
        page.on("console", lambda said: note(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= page.viewport_size["width"]
        page.close()
    assert faults == []


def asked(address: str, path: str, body: Any = None) -> Any:
    """The API's own answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def parameters(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def keys(page: Any, column: str) -> list[str]:
    found = page.locator(f"{column} .items > li")
    found.first.wait_for()
    return found.evaluate_all("all => all.map(one => one.dataset.key)")


def test_search_choose_and_compare(
    address: str, opened: Callable[..., Any], viewport: dict[str, int]
) -> None:
    page = opened(address, viewport)
    # Without an item: the most popular ones.
    first = page.locator("#popular a").first
    first.wait_for()
    assert first.inner_text() == asked(address, "v1/suggest?q=&limit=1")["items"][0]["title"]
    page.fill("#query", "race 1")
    page.wait_for_selector(OPEN)
    assert page.get_attribute("#query", "aria-expanded") == "true"
    assert page.locator(OPEN).count() == 3  # Race 1, 10 and 11
    page.click(f"{OPEN} >> text='Race 10'")
    answers = {}
    for side, model in enumerate(("baseline", "fd")):
        answers[side] = asked(address, "v1/recommend", {"model": model, "key": "race10"})["items"]
        assert keys(page, f"#compared .side-{side}") == [one["key"] for one in answers[side]]
    assert parameters(page) == {"item": "race10", "left": "baseline", "right": "fd"}
    both = {one["key"] for one in answers[0]} & {one["key"] for one in answers[1]}
    assert both
    assert page.locator("#compared .side-0 .mark.both").count() == len(both)
    entry, item = page.locator("#compared .side-1 .items > li").first, answers[1][0]
    assert f"{item['score']:.3f}" in entry.inner_text()
    assert f"{item['train_count']} training pair" in entry.inner_text()
    assert entry.locator(f".mark.{item['slice']}").inner_text() == item["slice"]
    # Fewer, and another model: all of it is in the address.
    page.select_option("#k", "5")
    page.select_option("#left", "fd")
    expect(page.locator("#compared .items > li")).to_have_count(5)
    again = opened(page.url, viewport)
    assert keys(again, "#compared") == [one["key"] for one in answers[1][:5]]
    assert again.input_value("#query") == "Race 10"


def test_what_a_recommendation_rests_on(
    address: str, opened: Callable[..., Any], viewport: dict[str, int]
) -> None:
    page = opened(f"{address}?item=photo3", viewport)
    entry = page.locator("#compared .side-1 .items > li").nth(1)
    entry.get_by_role("button").click()
    entry.locator(".bars").wait_for()
    asked_for = {"model": "fd", "query": "photo3", "item": entry.get_attribute("data-key")}
    found = asked(address, "v1/explain", asked_for)
    assert abs(found["score"] - float(entry.locator(".score").inner_text())) < 0.0006
    shown = entry.locator(".bars > li").all_inner_texts()
    assert len(shown) == len(found["features"])
    for text, feature in zip(shown, found["features"], strict=True):
        assert feature["feature"].replace("_", " ") in text
        drop = re.search(r"[+\u2212]?\d\.\d{3}", text)
        assert drop is not None
        assert abs(float(drop[0].replace("\u2212", "-")) + feature["drop"]) < 0.0006
        assert all(value in text for value in feature["shared"])
        assert feature["drop"] == pytest.approx(found["score"] - feature["score_without"])
    of_query, of_item = (
        asked(address, f"v1/items/{asked_for[name]}?model=fd")["features"]
        for name in ("query", "item")
    )
    for one in found["features"]:
        both = {*of_query[one["feature"]]} & {*of_item[one["feature"]]}
        is_number = one["feature"] in ("popularity", "quality")
        assert {*one["shared"]} == (set() if is_number else both)
    widths = entry.locator(".bar").evaluate_all("all => all.map(one => one.offsetWidth)")
    assert max(widths) == entry.locator(".track").first.evaluate("one => one.offsetWidth")
    entry.get_by_role("button").click()
    assert not entry.locator(".why").is_visible()


def test_a_fresh_item_has_neighbours_while_typing_and_can_be_added(
    address: str, opened: Callable[..., Any], viewport: dict[str, int]
) -> None:
    page = opened(f"{address}?view=fresh", viewport)
    name = f"new-{viewport['width']}"
    page.get_by_label("Title").fill("Music box")
    before = keys(page, "#fresh-compared .side-1")
    page.get_by_label("Title").fill("Race track")
    page.get_by_label("Categories").fill("Race")
    raw = {"title": "Race track", "categories": "Race"}
    neighbours = asked(address, "v1/recommend", {"model": "fd", "item": raw})["items"]
    assert [one["key"] for one in neighbours] != before
    expect(page.locator("#fresh-compared .side-1 .title")).to_have_text(
        [one["title"] for one in neighbours]
    )
    # Without a key it cannot be added, which is said, and the field is there.
    page.click("text=Add this item")
    assert "which is its key" in page.inner_text(".note")
    assert page.evaluate("document.activeElement.id") == "fresh-app_id"
    page.keyboard.type(name)
    page.click("text=Add this item")
    page.locator(".note", has_text="Added").wait_for()
    for model in ("baseline", "fd"):
        found = asked(address, f"v1/items/{name}?model={model}")
        assert (found["title"], found["slice"]) == ("Race track", "fresh")
    page.click("text=Show its recommendations")
    assert len(keys(page, "#compared .side-0")) == 10
    assert parameters(page)["item"] == name
    # Back, as it was typed; it goes as it came.
    page.go_back()
    assert page.input_value("#fresh-app_id") == name
    page.click("text=Add this item")
    page.locator(".note", has_text="There is an item with this key").wait_for()
    page.click("text=Replace it by this one")
    page.locator(".note", has_text="Replaced").wait_for()
    page.click("text=Remove it again")
    page.locator(".note", has_text="Removed").wait_for()
    assert asked(address, f"v1/suggest?q={name}")["items"] == []


def test_the_map_and_the_same_in_words(
    address: str, opened: Callable[..., Any], viewport: dict[str, int]
) -> None:
    page = opened(f"{address}?view=map&item=music2", viewport)
    page.locator("#legend button").first.wait_for()
    found = asked(address, "v1/map?model=baseline&key=music2")
    assert len(found["points"]) == len(shop.items())
    # Every point is there in its colour: the canvas is read where the API says that it is.
    shown = page.evaluate(
        """points => points.filter(({ x, y }) => {
             const plane = document.getElementById('plane'), ratio = devicePixelRatio;
             const at = (part, size) => (16 + part * (size - 32)) * ratio;
             const left = at((x + 1) / 2, plane.clientWidth);
             const top = at((1 - y) / 2, plane.clientHeight);
             return plane.getContext('2d').getImageData(left, top, 1, 1).data[3] > 100;
           }).length""",
        found["points"],
    )
    assert shown == len(found["points"])
    for kind in shop.KINDS:
        assert page.locator("#legend button", has_text=kind).count() == 1
    page.click("summary")
    row = page.locator("#map-table tr", has_text="Puzzle").first
    assert row.locator("a").count() == 3
    page.get_by_label("head or tail").check()
    page.locator("#legend button", has_text="tail").wait_for()
    button = page.locator("#legend button", has_text="head")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    # A point of the canvas can be chosen.
    target = next(point for point in found["points"] if point["key"] == "photo1")
    plane = page.locator("#plane")
    box = plane.bounding_box()
    x = 16 + (target["x"] + 1) / 2 * (box["width"] - 32)
    y = 16 + (1 - target["y"]) / 2 * (box["height"] - 32)
    plane.click(position={"x": x, "y": y})
    page.locator("#on-map h2").wait_for()
    expect(page.locator("#on-map h2")).not_to_have_text("Music 2")
    assert parameters(page)["item"] in {point["key"] for point in found["points"]} - {"music2"}


def test_titles_are_data(address: str, opened: Callable[..., Any]) -> None:
    page = opened(f"{address}?item=puzzle0")
    expect(page.locator("#query-item h2")).to_have_text(shop.MARKUP)
    page.fill("#query", "<img")
    expect(page.locator(f"{OPEN} .title")).to_have_text([shop.MARKUP])
    page.goto(f"{address}?item=puzzle1&k=50")
    expect(page.locator("#compared .title", has_text=shop.MARKUP)).to_have_count(2)
    page.goto(f"{address}?view=map&item=puzzle0")
    expect(page.locator("#on-map h2")).to_have_text(shop.MARKUP)
    assert page.locator("img, b").count() == 0
    assert page.title() != "1"


def test_keys_alone_are_enough(
    address: str, opened: Callable[..., Any], viewport: dict[str, int]
) -> None:
    page = opened(address, viewport)
    page.locator("#popular a").first.wait_for()

    def focused() -> str:
        """What has the focus, which is seen."""
        return page.evaluate(
            """() => {
              const it = document.activeElement, style = getComputedStyle(it);
              const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
              return (seen ? '' : 'unseen ') + (it.id || it.textContent);
            }"""
        )

    def tab(times: int = 1) -> str:
        for _ in range(times):
            page.keyboard.press("Tab")
        return focused()

    order = ["Skip to the content", "Compare", "Fresh item", "Map", "query", "left", "right", "k"]
    assert [tab() for _ in order] == order
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    page.keyboard.type("music")
    page.locator(OPEN).first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.locator(f"{OPEN}[aria-selected=true]")
    assert page.get_attribute("#query", "aria-activedescendant") == chosen.get_attribute("id")
    title = chosen.locator(".title").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#query-item h2")).to_have_text(title)
    first = page.locator("#compared .items > li").first
    first.wait_for()
    assert focused() == "query"
    # Past the three lists of choices: the first item's link, then the button for its reasons.
    assert tab(4) == first.locator(".title").inner_text()
    assert tab().startswith("Why")
    page.keyboard.press("Enter")
    first.locator(".bars").wait_for()
    assert first.get_by_role("button").get_attribute("aria-expanded") == "true"
    # Escape closes suggestions, then empties the field; the skip link leads to the content.
    page.focus("#query")
    page.keyboard.press("ArrowDown")
    page.locator(OPEN).first.wait_for()
    page.keyboard.press("Escape")
    assert page.locator(OPEN).count() == 0
    page.keyboard.press("Escape")
    assert page.input_value("#query") == ""


def test_links_and_the_way_back(address: str, opened: Callable[..., Any]) -> None:
    page = opened(f"{address}?item=race1")
    title = page.locator("#query-item h2")
    expect(title).to_have_text("Race 1")
    link = page.locator("#compared .items .title").first
    other = link.inner_text()
    link.click()
    expect(title).to_have_text(other)
    page.go_back()
    expect(title).to_have_text("Race 1")
    page.click("nav >> text=Map")
    expect(page.locator("h1")).to_have_text("Map of the catalogue")
    assert page.evaluate("document.activeElement.id") == "main"
    assert parameters(page)["item"] == "race1"
    page.go_back()
    expect(page.locator("h1")).to_have_text("Compare two models")


def test_a_late_answer_to_what_was_typed_before_is_not_shown(
    address: str, opened: Callable[..., Any]
) -> None:
    page = opened(address)
    held: list[Any] = []
    page.route("**/v1/suggest?*q=photo*", lambda route: held.append(route))
    page.fill("#query", "photo")
    expect(page.locator(OPEN)).to_have_count(0)
    while not held:
        page.wait_for_timeout(20)
    page.fill("#query", "race 11")
    expect(page.locator(f"{OPEN} .title")).to_have_text(["Race 11"])
    held[0].fulfill(
        json={"items": [{"key": "k", "title": "Late", "slice": "tail", "train_count": 0}]}
    )
    page.wait_for_timeout(200)
    expect(page.locator(f"{OPEN} .title")).to_have_text(["Race 11"])


def test_errors_are_told_in_words(address: str, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto(f"{address}?item=nothing")
    expect(page.locator("#compared .side-0 .problem")).to_have_text(
        "there is no item 'nothing' in model 'baseline'"
    )
    page.route("**/v1/recommend", lambda route: route.abort())
    page.goto(f"{address}?item=race1")
    expect(page.locator("#compared .side-1 .problem")).to_have_text(
        "The server cannot be reached. Is it still running?"
    )
    page.unroute("**/v1/recommend")
    busy = {"status": 503, "headers": {"Retry-After": "2"}, "json": {"detail": "full"}}
    page.route("**/v1/recommend", lambda route: route.fulfill(**busy))
    page.goto(f"{address}?item=race1")
    expect(page.locator("#compared .side-1 .problem")).to_have_text(
        "The server is busy; try again in 2 seconds."
    )
    page.route("**/v1/models", lambda route: route.abort())
    page.goto(address)
    expect(page.get_by_role("alert")).to_have_text(
        "The server cannot be reached. Is it still running?"
    )
    page.close()


# Of every text that is seen: how far its colour is from that behind it, by WCAG 2's formula.
CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const pair = [getComputedStyle(element).color, behind(element)].map(luminance);
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) low.push(`${element.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""
# What screen readers need: names of controls, ids that are there once, one heading of the page.
FLAWS = """() => {
  const flaws = [];
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  flaws.push(...ids.filter((id, place) => ids.indexOf(id) !== place));
  for (const element of document.querySelectorAll('input, select, textarea')) {
    if (!element.labels.length) flaws.push(element.outerHTML);
  }
  for (const element of document.querySelectorAll('button, a')) {
    if (!element.textContent.trim()) flaws.push(element.outerHTML);
  }
  for (const name of ['controls', 'describedby', 'labelledby', 'activedescendant']) {
    for (const element of document.querySelectorAll(`[aria-${name}]`)) {
      const named = document.getElementById(element.getAttribute(`aria-${name}`));
      if (!named) flaws.push(element.outerHTML);
    }
  }
  for (const tag of ['main', 'nav', 'header', 'footer', 'h1']) {
    if (document.querySelectorAll(tag).length !== 1) flaws.push(tag);
  }
  return flaws;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_names(address: str, opened: Callable[..., Any], scheme: str) -> None:
    page = opened(f"{address}?item=photo1", color_scheme=scheme)
    page.locator("#compared .items button").first.click()
    page.locator(".bars").wait_for()
    page.hover("#compared .items > li")

    def check() -> None:
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate(FLAWS) == []

    check()
    page.fill("#query", "music")
    page.locator(OPEN).first.hover()
    check()
    page.click("nav >> text=Fresh item")
    page.get_by_label("Title").fill("Photo album")
    page.locator("#fresh-compared .items").first.wait_for()
    page.click("text=Add this item")
    check()
    page.click("nav >> text=Map")
    page.locator("#legend button").first.click()
    page.click("summary")
    check()
