// Elements made of text: what comes from data is never read as markup.

/**
 * An element with attributes, listeners (functions, by the event's name) and children: elements,
 * or texts, which are shown as they are. Values that are null or false are left out.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Says something to screen readers. */
export function announce(text) {
  byId("status").textContent = text;
}

/** Shows what went wrong, in words; nothing hides it. */
export function showProblem(text) {
  byId("problem").textContent = text ?? "";
  byId("problem").hidden = !text;
}

export const count = (number, one, several = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : several}`;
