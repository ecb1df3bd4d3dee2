// Puts the page together: the tools at the top, and one of three views under them.

import { call } from "./api.js";
import { ItemSearch } from "./combobox.js";
import { Comparison, describe, queryOf } from "./comparison.js";
import { byId, element, showProblem } from "./dom.js";
import { FreshItem } from "./fresh.js";
import { ItemCard, itemLink, named } from "./items.js";
import { CatalogMap } from "./map.js";
import { address, follow, go, onChange, state } from "./state.js";

const HEADINGS = { compare: "Compare two models", fresh: "Try a fresh item", map: "Map of the catalogue" };
const POPULAR = 6;

function fillTools(models) {
  for (const side of ["left", "right"]) {
    const select = byId(side);
    select.replaceChildren(...models.map(({ name }) => element("option", { value: name }, name)));
    select.addEventListener("change", () => go({ [side]: select.value }, { replace: true }));
  }
  byId("k").addEventListener("change", () => go({ k: byId("k").value }, { replace: true }));
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
}

/** Takes what the address lacks, or names and is not there, from the models of the server. */
function settle(models) {
  const names = models.map(({ name }) => name);
  if (!names.includes(state.left)) state.left = names[0];
  if (!names.includes(state.right)) state.right = names.find((name) => name !== state.left) ?? state.left;
  if (!(state.view in HEADINGS)) state.view = "compare";
  if (![...byId("k").options].some(({ value }) => value === state.k)) state.k = "10";
  go({}, { replace: true });
}

async function showPopular(place) {
  try {
    const { items } = await call("v1/suggest", { query: { model: state.left, q: "", limit: POPULAR } });
    place.replaceChildren(
      element("p", { class: "muted" }, "Search for an item, or begin with one that many others lead to:"),
      element("ul", { class: "links" }, items.map((item) => element("li", {}, itemLink(item)))),
    );
  } catch (error) {
    showProblem(error.message);
  }
}

class Page {
  constructor(models) {
    this.search = new ItemSearch(byId("query"), byId("suggestions"), {
      model: () => state.left,
      chosen: (item) => go({ item: item.key, view: state.view === "map" ? "map" : "compare" }),
    });
    this.card = new ItemCard(byId("query-item"), { failed: () => {} });
    const render = this.card.render.bind(this.card);
    this.card.render = (item) => {
      byId("query").value = named(item);
      render(item);
    };
    this.comparison = new Comparison(byId("compared"), { models, id: "compared" });
    this.fresh = new FreshItem(byId("fresh-form"), byId("fresh-compared"), models);
    this.views = { compare: () => this.drawCompared(), fresh: () => this.fresh.draw(), map: () => this.map.draw() };
    this.map = new CatalogMap({
      canvas: byId("plane"), pointed: byId("pointed"), legend: byId("legend"), card: byId("on-map"),
      table: byId("map-table"), tools: byId("map-tools"), models,
    });
  }

  draw(before) {
    showProblem();
    for (const name of ["left", "right", "k"]) byId(name).value = state[name];
    for (const link of document.querySelectorAll("nav [data-view]")) {
      const changes = { view: link.dataset.view };
      link.href = address(changes);
      link.toggleAttribute("aria-current", false);
      if (changes.view === state.view) link.setAttribute("aria-current", "page");
    }
    for (const view of Object.keys(HEADINGS)) byId(view).hidden = view !== state.view;
    byId("search").hidden = state.view === "fresh";
    byId("heading").textContent = HEADINGS[state.view];
    document.title = `${state.item && state.view !== "fresh" ? state.item : HEADINGS[state.view]} · ssl-recsys`;
    if (!state.item) byId("query").value = "";
    this.views[state.view]();
    if (before && before.view !== state.view) byId("main").focus({ preventScroll: true });
  }

  drawCompared() {
    byId("popular").hidden = Boolean(state.item);
    if (state.item) {
      this.card.show(state.left, state.item);
      this.comparison.show(queryOf(state.item));
    } else {
      this.card.clear();
      this.comparison.clear();
      showPopular(byId("popular"));
    }
  }
}

async function start() {
  try {
    const { models } = await call("v1/models");
    fillTools(models);
    settle(models);
    byId("models").textContent = models.map((model) => `${model.name}: ${describe(model)}`).join("; ");
    const page = new Page(models);
    for (const link of document.querySelectorAll("nav [data-view]")) {
      link.addEventListener("click", follow({ view: link.dataset.view }));
    }
    onChange((before) => page.draw(before));
    page.draw();
  } catch (error) {
    showProblem(error.message);
  }
}

start();
