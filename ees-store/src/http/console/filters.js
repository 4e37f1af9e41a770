// What the forms that filter a screen have in common.

import { h } from "./dom.js";

export function field(name, label, value) {
  return h("label", { class: "field" }, label, h("input", { name, value, spellcheck: "false", autocomplete: "off" }));
}

/** Goes to a screen with these filters, pairs of a name and a value, as far as they have a value. */
export function go(screen, values) {
  const query = new URLSearchParams(values.filter(([, value]) => value !== "" && value !== null));
  location.hash = `#/${screen}${query.size > 0 ? `?${query}` : ""}`;
}
