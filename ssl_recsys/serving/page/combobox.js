// The search field: the ARIA pattern of an editable combobox with a list of suggestions.

import { call, newest } from "./api.js";
import { announce, count, element, showProblem } from "./dom.js";

const DELAY = 120;
const MOST = 10;
const NOTHING = { class: "muted", role: "option", "aria-disabled": "true", "aria-selected": "false" };

export class ItemSearch {
  /** `model()` names the model whose items are searched; `chosen(item)` is called with one. */
  constructor(input, list, { model, chosen }) {
    Object.assign(this, { input, list, model, chosen, items: [], active: -1, enterPending: false });
    this.find = newest(
      (signal, text) => call("v1/suggest", { query: { model: model(), q: text, limit: MOST }, signal }),
      { delay: DELAY, done: ({ items }) => this.show(items), failed: (error) => this.fail(error) },
    );
    input.addEventListener("input", () => this.typed());
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => this.close());
    // Pressed, a suggestion would take the focus and so close the list before the click.
    list.addEventListener("mousedown", (event) => event.preventDefault());
  }

  typed() {
    this.enterPending = false;
    this.items = [];
    if (this.input.value.trim()) this.find(this.input.value);
    else {
      this.find.cancel();
      this.close();
    }
  }

  show(items) {
    if (!this.input.value.trim()) return;
    showProblem();
    this.items = items;
    this.active = -1;
    this.list.replaceChildren(...items.map((item, place) => this.option(item, place)));
    if (!items.length) this.list.append(element("li", NOTHING, "No item begins like this."));
    this.setOpen(document.activeElement === this.input);
    announce(items.length ? `${count(items.length, "suggestion")}, use the arrow keys` : "No suggestions");
    if (this.enterPending) this.enter();
  }

  option(item, place) {
    return element(
      "li",
      { id: `suggestion-${place}`, role: "option", "aria-selected": "false", click: () => this.choose(item) },
      element("span", { class: "title" }, item.title || item.key),
      element("span", { class: "muted" }, item.slice === "fresh" ? "fresh" : count(item.train_count, "pair")),
    );
  }

  key(event) {
    if (event.isComposing) return;
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      event.preventDefault();
      if (this.list.hidden) this.typed();
      else this.activate(this.active + moves[event.key]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.enter();
    } else if (event.key === "Escape") {
      if (this.list.hidden) this.input.value = "";
      this.close();
    }
  }

  /** Chooses the active suggestion, else the one with this title, else the first. */
  enter() {
    const text = this.input.value.trim().toLowerCase();
    const same = this.items.find((item) => [item.key, item.title].some((name) => name.toLowerCase() === text));
    const item = this.items[this.active] ?? same ?? this.items[0];
    this.enterPending = !item && Boolean(text);
    if (item) this.choose(item);
  }

  activate(place) {
    const options = this.list.querySelectorAll("[role=option]:not([aria-disabled])");
    if (!options.length) return;
    this.active = (place + options.length + (place < -1 ? 1 : 0)) % options.length;
    options.forEach((option, number) => option.setAttribute("aria-selected", String(number === this.active)));
    options[this.active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", `suggestion-${this.active}`);
  }

  choose(item) {
    this.enterPending = false;
    this.input.value = item.title || item.key;
    this.close();
    this.chosen(item);
  }

  fail(error) {
    this.close();
    showProblem(error.message);
  }

  close() {
    this.setOpen(false);
    this.active = -1;
  }

  setOpen(isOpen) {
    this.list.hidden = !isOpen;
    this.input.setAttribute("aria-expanded", String(isOpen));
    this.input.removeAttribute("aria-activedescendant");
  }
}
