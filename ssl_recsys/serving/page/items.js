// What is shown of an item: its link, head or tail, and how often it was trained on.

import { call, newest } from "./api.js";
import { count, element } from "./dom.js";
import { address, follow } from "./state.js";

const MEANING = {
  head: "Head: one of the items with training pairs, by the dataset's rule",
  tail: "Tail: few training pairs or none",
  fresh: "Fresh: added since the model was trained, and found by its content alone",
};

export const named = (item) => item.title || item.key;

/** A link that makes the item the query. */
export function itemLink(item, changes = {}) {
  const wanted = { item: item.key, ...changes };
  return element("a", { class: "title", href: address(wanted), click: follow(wanted) }, named(item));
}

/** Marks of an item: head, tail or fresh, and its training pairs. */
export function marks(item) {
  return [
    element("span", { class: `mark ${item.slice}`, title: MEANING[item.slice] }, item.slice),
    item.slice !== "fresh" && element("span", { class: "muted" }, count(item.train_count, "training pair")),
  ];
}

export function chips(texts, most = 12) {
  const left = texts.length - most;
  return element(
    "ul",
    { class: "chips" },
    texts.slice(0, most).map((text) => element("li", {}, text)),
    left > 0 && element("li", { class: "muted" }, `and ${left} more`),
  );
}

/** A card with what an item is, kept up with the newest call of `show(model, key)`. */
export class ItemCard {
  constructor(place, { failed, actions = () => [] }) {
    Object.assign(this, { place, actions });
    this.show = newest(
      (signal, model, key) => call(`v1/items/${encodeURIComponent(key)}`, { query: { model }, signal }),
      { done: (item) => this.render(item), failed: (error) => { this.clear(); failed(error); } },
    );
  }

  clear() {
    this.show.cancel();
    this.place.replaceChildren();
  }

  render(item) {
    const features = Object.entries(item.features).filter(([, values]) => values.length);
    this.place.replaceChildren(
      element(
        "article",
        { class: "card item" },
        element("h2", {}, named(item)),
        element("p", { class: "marks" }, marks(item), item.key !== named(item) && element("code", {}, item.key)),
        element(
          "dl",
          { class: "features" },
          features.flatMap(([name, values]) => [element("dt", {}, label(name)), element("dd", {}, chips(values))]),
        ),
        this.actions(item),
      ),
    );
  }
}

/** A feature's or column's name as text. */
export const label = (name) => name.replaceAll("_", " ");
