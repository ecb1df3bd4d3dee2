// A form for an item that does not exist yet: its neighbours while typing, and adding it.

import { ApiError, call } from "./api.js";
import { announce, element } from "./dom.js";
import { Comparison } from "./comparison.js";
import { label } from "./items.js";
import { address, follow, state } from "./state.js";

const DELAY = 250;
const PRESENT = 412; // the answer where an item with this key is there

export class FreshItem {
  constructor(form, place, models) {
    Object.assign(this, { form, models });
    this.comparison = new Comparison(place, { models, id: "fresh", delay: DELAY });
    this.note = element("div", { class: "note", "aria-live": "polite" });
    this.fields = new Map();
    form.addEventListener("input", () => this.search());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.add();
    });
  }

  /** The models that are shown and can take raw features. */
  takers() {
    const names = new Set([state.left, state.right]);
    return this.models.filter((model) => names.has(model.name) && model.raw);
  }

  /** Makes the form anew for the columns of the models that are shown; keeps what was typed. */
  draw() {
    const typed = new Map([...this.fields].map(([name, { input }]) => [name, input.value]));
    const columns = new Map(this.takers().flatMap((model) => columnsOf(model.raw).map((one) => [one.name, one])));
    this.fields = new Map([...columns].map(([name, column]) => [name, this.field(column, typed.get(name) ?? "")]));
    this.note.replaceChildren();
    if (!columns.size) {
      this.form.replaceChildren(element("p", { class: "problem" }, NO_COLUMNS));
      this.comparison.clear();
      return;
    }
    this.form.replaceChildren(
      ...[...this.fields.values()].map(({ row }) => row),
      element(
        "div",
        { class: "buttons" },
        element("button", { type: "submit", class: "main" }, "Add this item"),
        element("button", { type: "button", class: "quiet", click: () => this.reset() }, "Clear"),
      ),
      this.note,
    );
    this.search();
  }

  field(column, value) {
    const id = `fresh-${column.name}`;
    const hint = HINTS[column.kind];
    const shared = { id, "aria-describedby": hint ? `${id}-hint` : null, autocomplete: "off" };
    const input =
      column.kind === "list"
        ? element("textarea", { ...shared, rows: 4 })
        : element("input", { ...shared, type: "text", inputmode: column.kind === "number" ? "decimal" : null });
    input.value = value;
    const row = element(
      "div",
      { class: "field" },
      element("label", { for: id }, label(column.label || column.name)),
      input,
      hint && element("p", { class: "hint", id: `${id}-hint` }, hint),
    );
    return { row, input, kind: column.kind };
  }

  /** The columns that are not empty, of those that a model knows. */
  item(model) {
    const known = new Set(columnsOf(model.raw).map(({ name }) => name));
    const given = [...this.fields].filter(([name]) => known.has(name)).map(([name, field]) => [name, valueOf(field)]);
    return Object.fromEntries(given.filter(([, value]) => value.length));
  }

  search() {
    this.note.replaceChildren();
    const isEmpty = ![...this.fields.values()].some(({ input }) => input.value.trim());
    if (isEmpty) {
      this.comparison.clear();
      return;
    }
    this.comparison.show((model) => {
      if (!model.raw) throw new ApiError(NO_COLUMNS);
      const item = this.item(model);
      return { body: { item }, query: item };
    });
  }

  reset() {
    for (const { input } of this.fields.values()) input.value = "";
    this.search();
    announce("The form is empty");
    this.fields.values().next().value.input.focus();
  }

  /** Adds the item to every model that is shown; an item that is there is replaced only if asked. */
  async add({ replace = false } = {}) {
    const missing = this.takers().find((model) => !this.item(model)[model.raw.key]);
    if (missing) {
      const { input } = this.fields.get(missing.raw.key);
      this.say(`An item needs a ${label(missing.raw.key)}, which is its key.`);
      input.focus();
      return;
    }
    this.say("Adding …");
    const results = await Promise.all(this.takers().map((model) => this.put(model, replace)));
    const failed = results.filter(({ error }) => error);
    if (failed.some(({ error }) => error.status === PRESENT)) this.askToReplace();
    else if (failed.length) this.say(...failed.map(({ model, error }) => `${model.name}: ${error.message}`));
    else this.tell(results);
  }

  async put(model, replace) {
    const columns = this.item(model);
    const key = columns[model.raw.key];
    const headers = replace ? {} : { "If-None-Match": "*" };
    try {
      const query = { model: model.name };
      const answer = await call(pathOf(key), { method: "PUT", query, headers, body: { columns } });
      return { model, key, isNew: answer.status === 201 };
    } catch (error) {
      return { model, key, error };
    }
  }

  askToReplace() {
    const replace = () => this.add({ replace: true });
    this.note.replaceChildren(
      element("p", {}, "There is an item with this key already. "),
      element("button", { type: "button", class: "quiet", click: replace }, "Replace it by this one"),
    );
  }

  tell(results) {
    const { key } = results[0];
    const wanted = { view: "compare", item: key };
    this.note.replaceChildren(
      element("p", {}, results[0].isNew ? "Added: it is found from now on. " : "Replaced. "),
      element("a", { href: address(wanted), click: follow(wanted) }, "Show its recommendations"),
      element("button", { type: "button", class: "quiet", click: () => this.remove(results) }, "Remove it again"),
    );
    this.comparison.show((model) => ({ body: { item: this.item(model) }, query: this.item(model) }));
  }

  async remove(results) {
    try {
      for (const { model, key } of results) {
        await call(pathOf(key), { method: "DELETE", query: { model: model.name } });
      }
      this.search();
      this.say("Removed.");
    } catch (error) {
      this.say(error.message);
    }
  }

  say(...texts) {
    this.note.replaceChildren(...texts.map((text) => element("p", {}, text)));
  }
}

const NO_COLUMNS =
  "This model takes no raw features: its dataset does not say how they are encoded. Choose another model.";
const HINTS = { list: "One per line.", number: "A number; empty if it is not known." };

const pathOf = (key) => `v1/items/${encodeURIComponent(key)}`;

function valueOf({ input, kind }) {
  const lines = kind === "list" ? input.value.split("\n") : [input.value];
  const texts = lines.map((line) => line.trim()).filter(Boolean);
  return kind === "list" ? texts : (texts[0] ?? "");
}

/** The columns of a form, but vectors, which nobody types: title and key first, which need not
 * belong to a feature. */
function columnsOf(raw) {
  const there = new Map(raw.columns.map((column) => [column.name, column]));
  const first = [raw.title, raw.key].filter(Boolean).map((name) => there.get(name) ?? { name, kind: "text" });
  const typed = raw.columns.filter(({ kind }) => kind !== "vector");
  return [...new Map([...first, ...typed].map((column) => [column.name, column])).values()];
}
