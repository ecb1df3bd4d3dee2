// The catalogue as a plane of points: a canvas, and the same in words.

import { call, newest } from "./api.js";
import { announce, count, element } from "./dom.js";
import { ItemCard, itemLink, label, named } from "./items.js";
import { address, follow, go, state } from "./state.js";

const MARGIN = 16;
const REACH = 18; // pixels from a pointer to the point that it means
const EXAMPLES = 3;
const OTHERS = "other";
const SLICES = ["head", "tail", "fresh"];

export class CatalogMap {
  constructor({ canvas, pointed, legend, card, table, tools, models }) {
    Object.assign(this, { canvas, pointed, legend, table, tools, models, points: [], labels: [], marked: new Set(), only: null });
    this.card = new ItemCard(card, {
      failed: (error) => (this.pointed.textContent = error.message),
      actions: (item) => this.actions(item),
    });
    this.load = newest((signal) => this.ask(signal), {
      done: (answer) => this.show(answer),
      failed: (error) => this.fail(error),
    });
    canvas.addEventListener("pointermove", (event) => this.point(this.nearest(event)));
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("click", (event) => this.choose(this.nearest(event)));
    new ResizeObserver(() => this.paint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  get model() {
    return state[state.side] || state.left;
  }

  draw() {
    this.drawTools();
    if (state.item) this.card.show(this.model, state.item);
    else this.card.clear();
    this.say(this.loaded === this.model ? "Loading …" : "Computing the map; the first time takes some seconds …");
    this.canvas.setAttribute("aria-busy", "true");
    this.load();
  }

  drawTools() {
    const sides = [...new Map(["left", "right"].map((side) => [state[side], [side, state[side]]])).values()];
    this.tools.replaceChildren(
      choice("Map of", "side", sides.filter(([, name]) => name)),
      choice("Colour by", "colour", [["group", label(this.groups ?? "group")], ["slice", "head or tail"]]),
    );
  }

  async ask(signal) {
    const model = this.model;
    const items = state.item ? await this.recommended(model, signal) : [];
    const marked = [state.item, ...items.map((item) => item.key)].filter(Boolean);
    return { model, marked, ...(await call("v1/map", { query: { model, key: marked }, signal })) };
  }

  async recommended(model, signal) {
    const body = { model, key: state.item, k: Number(state.k) };
    return (await call("v1/recommend", { method: "POST", body, signal })).items;
  }

  fail(error) {
    this.canvas.removeAttribute("aria-busy");
    this.say(error.message);
  }

  show({ model, marked, points, labels, groups }) {
    Object.assign(this, { loaded: model, points, labels, groups, marked: new Set(marked), only: null });
    this.canvas.removeAttribute("aria-busy");
    this.drawTools();
    this.drawLegend();
    this.drawTable();
    this.point(null);
    this.paint();
    announce(`Map of ${count(points.length, "item")}`);
  }

  /** What a point is coloured by. */
  groupOf(point) {
    return (state.colour === "slice" ? point.slice : point.group) ?? OTHERS;
  }

  /** Name of a group -> its points; the groups of most points first, the others last. */
  grouped() {
    const found = new Map();
    for (const point of this.points) {
      const name = this.groupOf(point);
      found.set(name, [...(found.get(name) ?? []), point]);
    }
    const place = ([name, points]) => (name === OTHERS ? 1 : -points.length);
    const ordered = [...found].sort((one, other) => place(one) - place(other));
    if (state.colour === "slice") ordered.sort(([one], [other]) => SLICES.indexOf(one) - SLICES.indexOf(other));
    return new Map(ordered);
  }

  drawLegend() {
    const groups = [...this.grouped()];
    this.colours = new Map(groups.map(([name], place) => [name, name === OTHERS ? "--other" : `--group-${place}`]));
    this.legend.replaceChildren(
      element("h2", {}, state.colour === "slice" ? "Head or tail" : label(this.groups ?? "Groups")),
      element("ul", {}, groups.map(([name, points]) => element("li", {}, this.legendButton(name, points)))),
    );
  }

  legendButton(name, points) {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.setProperty("background", `var(${this.colours.get(name)})`);
    const press = () => {
      this.only = this.only === name ? null : name;
      for (const button of this.legend.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.group === this.only));
      }
      this.paint();
    };
    return element(
      "button",
      { type: "button", class: "quiet", "aria-pressed": "false", "data-group": name, click: press },
      swatch,
      element("span", { class: "title" }, name),
      element("span", { class: "muted" }, points.length.toLocaleString("en")),
    );
  }

  drawTable() {
    const rows = [...this.grouped()].map(([name, points]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", { class: "number" }, points.length.toLocaleString("en")),
        element("td", {}, whereabouts(points)),
        element("td", {}, points.slice(0, EXAMPLES).flatMap((point) => [itemLink(point), ", "]).slice(0, -1)),
      ),
    );
    const head = ["Group", "Items shown", "Mostly", "For example"];
    this.table.replaceChildren(
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))),
        element("tbody", {}, rows),
      ),
    );
  }

  paint() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * ratio, height * ratio];
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name);
    for (const point of this.points) {
      const group = this.groupOf(point);
      const [x, y] = this.at(point);
      pen.globalAlpha = this.only === null || this.only === group ? 0.85 : 0.12;
      pen.fillStyle = colour(this.colours.get(group));
      circle(pen, x, y, group === OTHERS ? 2.2 : 3.2).fill();
    }
    pen.globalAlpha = 1;
    this.write(pen, colour);
    pen.strokeStyle = colour("--text");
    for (const point of this.points.filter(({ key }) => this.marked.has(key))) {
      pen.lineWidth = point.key === state.item ? 3 : 1.4;
      circle(pen, ...this.at(point), point.key === state.item ? 9 : 6).stroke();
    }
    if (this.under) circle(pen, ...this.at(this.under), 6).stroke();
  }

  /** Labels of regions, the more telling first; one that would cover another is left out. */
  write(pen, colour) {
    pen.font = `600 12px ${getComputedStyle(this.canvas).fontFamily}`;
    pen.textAlign = "center";
    pen.lineJoin = "round";
    pen.lineWidth = 4;
    const taken = [];
    for (const label of this.labels) {
      const half = pen.measureText(label.text).width / 2;
      const [, y] = this.at(label);
      const x = Math.min(Math.max(this.at(label)[0], half + 4), this.canvas.clientWidth - half - 4);
      if (taken.some((box) => Math.abs(box.x - x) < box.half + half + 6 && Math.abs(box.y - y) < 18)) continue;
      taken.push({ x, y, half });
      pen.strokeStyle = colour("--card");
      pen.strokeText(label.text, x, y);
      pen.fillStyle = colour("--text");
      pen.fillText(label.text, x, y);
    }
  }

  at({ x, y }) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [
      MARGIN + ((x + 1) / 2) * (width - 2 * MARGIN),
      MARGIN + ((1 - y) / 2) * (height - 2 * MARGIN),
    ];
  }

  nearest({ offsetX, offsetY }) {
    const distance = (point) => {
      const [x, y] = this.at(point);
      return Math.hypot(x - offsetX, y - offsetY);
    };
    let best = null;
    for (const point of this.points) if (!best || distance(point) < distance(best)) best = point;
    return best && distance(best) <= REACH ? best : null;
  }

  point(point) {
    this.canvas.classList.toggle("on-point", Boolean(point));
    this.say(point ? `${named(point)} · ${point.slice}${point.group ? ` · ${point.group}` : ""}` : this.hint());
    if (this.under === point) return;
    this.under = point;
    this.paint();
  }

  hint() {
    const rings = state.item ? " Rings: the chosen item and what is recommended for it." : "";
    return `${count(this.points.length, "item")}. Point at one for its title, click to choose it.${rings}`;
  }

  say(text) {
    this.pointed.textContent = text;
  }

  choose(point) {
    if (point) go({ item: point.key });
  }

  actions(item) {
    const wanted = { view: "compare", item: item.key };
    return element("p", {}, element("a", { href: address(wanted), click: follow(wanted) }, "Show its recommendations"));
  }
}

function choice(text, name, options) {
  return element(
    "fieldset",
    { class: "choice" },
    element("legend", {}, text),
    options.map(([value, shown]) => {
      const isOn = state[name] === value;
      const input = element("input", { type: "radio", name, value, checked: isOn, change: () => go({ [name]: value }) });
      return element("label", {}, input, element("span", {}, shown));
    }),
  );
}

function circle(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  return pen;
}

/** Where the middle of some points is, in words. */
function whereabouts(points) {
  const middle = (axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [x, y] = [middle("x"), middle("y")];
  const across = x < -0.2 ? "left" : x > 0.2 ? "right" : "";
  const up = y < -0.2 ? "bottom" : y > 0.2 ? "top" : "";
  return [up, across].filter(Boolean).join(" ") || "middle";
}
