// The recommendations of two models side by side.

import { call, newest } from "./api.js";
import { announce, count, element } from "./dom.js";
import { explanation, score } from "./explanation.js";
import { itemLink, label, marks } from "./items.js";
import { state } from "./state.js";

const SLICES = ["head", "tail", "fresh"];

export class Comparison {
  /** Shows into `place`; `models` are those of the server; `id` begins the ids of what is made. */
  constructor(place, { models, id, delay = 0 }) {
    Object.assign(this, { place, models, id });
    this.show = newest((signal, asked) => this.ask(signal, asked), {
      delay,
      done: (columns) => this.render(columns),
      failed: (error) => this.place.replaceChildren(element("p", { class: "problem", role: "alert" }, error.message)),
    });
  }

  clear() {
    this.show.cancel();
    this.place.replaceChildren();
  }

  /** `asked(model)` is the query of a model: what is sent, what is explained, how it is called. */
  ask(signal, asked) {
    const names = [...new Set([state.left, state.right])].filter(Boolean);
    this.place.setAttribute("aria-busy", "true");
    return Promise.all(
      names.map(async (name) => {
        const model = this.models.find((one) => one.name === name);
        const column = { model, asked: asked(model) };
        try {
          const body = { model: name, k: Number(state.k), ...column.asked.body };
          return { ...(await call("v1/recommend", { method: "POST", body, signal })), ...column };
        } catch (error) {
          if (error.name === "AbortError") throw error;
          return { ...column, error };
        }
      }),
    );
  }

  render(columns) {
    this.place.removeAttribute("aria-busy");
    const ranks = columns.map(({ items = [] }) => new Map(items.map((item) => [item.key, item.rank])));
    this.place.classList.toggle("two", columns.length > 1);
    this.place.replaceChildren(
      ...columns.map((column, side) => this.column(column, side, ranks.length > 1 ? ranks[1 - side] : new Map())),
    );
    this.tell(columns, ranks);
  }

  tell(columns, ranks) {
    const found = columns.map((column) =>
      column.error ? `${column.model.name}: ${column.error.message}` : `${column.items.length} of ${column.model.name}`,
    );
    const both = ranks.length > 1 ? [...ranks[0].keys()].filter((key) => ranks[1].has(key)).length : 0;
    announce(`Recommendations: ${found.join(", ")}${ranks.length > 1 ? `; ${both} in both lists` : ""}`);
  }

  column(column, side, others) {
    const { model, items = [], error } = column;
    const heading = `${this.id}-${side}`;
    return element(
      "section",
      { class: `card column side-${side}`, "aria-labelledby": heading },
      element("h2", { id: heading }, model.name, element("span", { class: "muted" }, ` ${describe(model)}`)),
      error && element("p", { class: "problem" }, error.message),
      !error && element("p", { class: "muted" }, summary(items, others)),
      !error && element("ol", { class: "items" }, items.map((item) => this.item(item, column, side, others))),
    );
  }

  item(item, { model, asked }, side, others) {
    const { button, place } = explanation(model.name, asked.query, item, `${this.id}-${side}-${item.rank}`);
    const other = others.get(item.key);
    const [on, off] = [true, false].map((isOn) => () => this.twins(item.key, isOn));
    return element(
      "li",
      { "data-key": item.key, mouseenter: on, mouseleave: off, focusin: on, focusout: off },
      element("span", { class: "rank" }, `${item.rank}`),
      itemLink(item, { view: "compare" }),
      element("span", { class: "score", title: "Score: the dot product of the embeddings" }, score(item.score)),
      element("div", { class: "marks" }, marks(item), other && bothMark(other, ["right", "left"][side])),
      button,
      place,
    );
  }

  twins(key, isOn) {
    for (const entry of this.place.querySelectorAll("li[data-key]")) {
      if (entry.dataset.key === key) entry.classList.toggle("twin", isOn);
    }
  }
}

const bothMark = (rank, other) =>
  element("span", { class: "mark both", title: `Rank ${rank} in the list on the ${other}` }, `also ${other}: #${rank}`);

function summary(items, others) {
  if (!items.length) return "No item is found.";
  const slices = SLICES.map((slice) => [slice, items.filter((item) => item.slice === slice).length]);
  const parts = slices.filter(([, number]) => number).map(([slice, number]) => `${number} ${slice}`);
  const both = items.filter((item) => others.has(item.key)).length;
  return [...parts, ...(others.size ? [`${both} in both lists`] : [])].join(" · ");
}

/** A model in a few words. */
export function describe(model) {
  return [label(model.label || model.method), count(model.items, "item")].join(" · ");
}

export const queryOf = (key) => () => ({ body: { key }, query: key });
