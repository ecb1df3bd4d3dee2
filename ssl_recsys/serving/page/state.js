// What the page shows, kept in its address: every view of an item has a link.

const DEFAULTS = { view: "compare", item: "", left: "", right: "", k: "10", side: "left", colour: "group" };
const listeners = [];

export const state = { ...DEFAULTS };

function read() {
  const given = new URLSearchParams(location.search);
  for (const name of Object.keys(DEFAULTS)) state[name] = given.get(name) ?? DEFAULTS[name];
}

/** The address of the page with some changes. */
export function address(changes) {
  const wanted = Object.entries({ ...state, ...changes }).filter(([name, value]) => value !== DEFAULTS[name]);
  return wanted.length ? `?${new URLSearchParams(wanted)}` : location.pathname;
}

/** Changes what is shown; `replace` leaves no step for the browser's back button. */
export function go(changes, { replace = false } = {}) {
  const before = { ...state };
  const target = address(changes);
  Object.assign(state, changes);
  history[replace ? "replaceState" : "pushState"](null, "", target);
  tell(before);
}

/** Calls back with what was shown before, at every change. */
export function onChange(listener) {
  listeners.push(listener);
}

/** A link that changes what is shown, and can be opened in a window of its own. */
export function follow(changes) {
  return (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button > 0) return;
    event.preventDefault();
    go(changes);
  };
}

function tell(before) {
  for (const listener of listeners) listener(before);
}

addEventListener("popstate", () => {
  const before = { ...state };
  read();
  tell(before);
});
read();
