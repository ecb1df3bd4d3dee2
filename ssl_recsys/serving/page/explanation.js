// What a recommendation rests on: shared values, and what the score loses without each feature.

import { call } from "./api.js";
import { element } from "./dom.js";
import { chips, label } from "./items.js";

const number = new Intl.NumberFormat("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const signed = new Intl.NumberFormat("en", {
  minimumFractionDigits: 3, maximumFractionDigits: 3, signDisplay: "exceptZero",
});

export const score = (value) => number.format(value).replace("-", "\u2212");

/** A button that opens the explanation of an item under it, and the place for that. */
export function explanation(model, query, item, id) {
  const place = element("div", { class: "why", id, hidden: true });
  let asked = false;
  const toggle = async () => {
    place.hidden = !place.hidden;
    button.setAttribute("aria-expanded", String(!place.hidden));
    if (asked) return;
    asked = true;
    place.replaceChildren(element("p", { class: "muted" }, "Computing …"));
    try {
      const answer = await call("v1/explain", { method: "POST", body: { model, query, item: item.key } });
      place.replaceChildren(...bars(answer));
    } catch (error) {
      asked = false;
      place.replaceChildren(element("p", { class: "problem", role: "alert" }, error.message));
    }
  };
  const button = element(
    "button",
    { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": id, click: toggle },
    "Why",
    element("span", { class: "unseen" }, ` is ${item.title || item.key} recommended?`),
  );
  return { button, place };
}

function bars({ score: whole, features }) {
  const most = Math.max(...features.map((feature) => Math.abs(feature.drop)), 1e-6);
  return [
    element("p", { class: "muted" }, `Score ${score(whole)}. Without a feature on both sides it changes by:`),
    element("ul", { class: "bars" }, features.map((feature) => share(feature, most))),
  ];
}

function share({ feature, shared, score_without: without, drop }, most) {
  const bar = element("span", { class: drop >= 0 ? "bar for" : "bar against" });
  bar.style.setProperty("--share", String(Math.abs(drop) / most));
  return element(
    "li",
    {},
    element(
      "div",
      { class: "share" },
      element("span", {}, label(feature)),
      element("span", { class: "track", "aria-hidden": "true" }, bar),
      element("span", { class: "number", title: `Score without it: ${score(without)}` }, signed.format(-drop).replace("-", "\u2212")),
    ),
    shared.length ? chips(shared) : element("p", { class: "muted" }, "no value in common"),
  );
}
