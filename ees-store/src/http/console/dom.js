// Elements. Texts enter as text nodes only, so whatever a stream, an event or an error says, it is shown and
// does nothing else.

const CLIPPED = 300;
const PART = 100;

/** An element with attributes, handlers (`onclick`), and children: elements and texts. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(isShown).map(asNode));
  return element;
}

function isShown(child) {
  return child !== undefined && child !== null && child !== false;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** Someone else's text: its direction stays within it, and a long one is cut until it is asked for. */
export function foreign(text, max = CLIPPED) {
  if (text.length <= max) return h("bdi", { class: "foreign" }, text);
  const whole = h("bdi", { class: "foreign" }, withoutHalf(text.slice(0, max)) + "…");
  const size = text.length.toLocaleString("en");
  const more = h("button", { type: "button", class: "link" }, `show all ${size} characters`);
  more.onclick = () => {
    whole.textContent = text;
    more.remove();
  };
  // Kept as it is when a screen is drawn again, so that it stays open.
  return h("span", { "data-keep": "", "data-key": text }, whole, " ", more);
}

/** Without the first half of a character that was cut. */
function withoutHalf(text) {
  return /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text;
}

/** Draws the children of an element again. What did not change stays: the focus, open details, what is typed. */
export function draw(root, ...children) {
  const fresh = h("div", null, ...children);
  adapt(root, fresh);
}

function adapt(old, fresh) {
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = find(at, child);
    if (same === null) {
      old.insertBefore(child, at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    update(same, child);
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** The element to keep for a new one: of the same kind and key, here or, if it has a key, further on. */
function find(at, child) {
  const key = child.dataset?.key;
  for (let node = at; node !== null; node = node.nextSibling) {
    if (node.nodeName === child.nodeName && node.dataset?.key === key) return node;
    if (key === undefined) return null;
  }
  return null;
}

const HANDLERS = ["onclick", "onsubmit", "onchange", "oninput", "ontoggle"];

function update(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (fresh.hasAttribute("data-keep")) return;
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
  }
  for (const name of HANDLERS) old[name] = fresh[name];
  adapt(old, fresh);
}

/** Details whose content is made when they are opened first, and kept when a screen is drawn again. */
export function details(attributes, summary, content) {
  const element = h("details", { "data-keep": "", ...attributes }, h("summary", null, summary));
  let isMade = false;
  const make = () => {
    if (isMade || !element.open) return;
    isMade = true;
    element.append(...[content()].flat(Infinity).filter(isShown).map(asNode));
  };
  element.ontoggle = make;
  make();
  return element;
}

/**
 * Details whose content is read each time they are opened: `read(signal)` returns it. What is not needed any more,
 * because they were closed or the screen was left, is not read to the end.
 */
export function lazily(attributes, summary, screen, read) {
  const place = h("div", { role: "status" });
  const element = h("details", { "data-keep": "", ...attributes, class: "lazy" }, h("summary", null, summary), place);
  let reading = null;
  element.ontoggle = async () => {
    // One that was made to be compared with what is shown is opened too, but seen by nobody.
    if (!element.isConnected || element.open === (reading !== null)) return;
    reading?.abort();
    reading = null;
    if (!element.open) return;
    const mine = new AbortController();
    reading = mine;
    place.replaceChildren("Loading …");
    const shown = await read(AbortSignal.any([screen, mine.signal])).catch((error) => foreign(error.message));
    if (reading === mine) place.replaceChildren(...[shown].flat(Infinity).filter(isShown).map(asNode));
  };
  return element;
}

/** Fills a list with an item for each entry, a part at a time. */
export function inParts(list, entries, make) {
  const show = (from) => {
    list.append(...entries.slice(from, from + PART).map(make));
    const left = entries.length - from - PART;
    if (left <= 0) return;
    const more = h("li", null, button(`show more (${left.toLocaleString("en")} left)`, () => {
      more.remove();
      show(from + PART);
    }, { class: "link" }));
    list.append(more);
  };
  show(0);
  return list;
}

export function button(label, onclick, attributes) {
  return h("button", { type: "button", onclick, ...attributes }, label);
}

/** A table. A row is a list of cells; numbers go in columns that are named so. */
export function table(label, columns, rows, numeric = []) {
  const cell = (tag) => (content, at) =>
    h(tag, { class: numeric.includes(at) ? "number" : null, scope: tag === "th" ? "col" : null }, content);
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label },
    h("table", null,
      h("thead", null, h("tr", null, columns.map(cell("th")))),
      h("tbody", null, rows.map(({ key, cells }) => h("tr", { "data-key": key }, cells.map(cell("td")))))));
}

/** Terms and what they are. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => isShown(value) && value !== "");
  return h("dl", { class: "facts" }, shown.map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, value))));
}

export function card(title, attributes, ...children) {
  return h("section", { class: "card", ...attributes, "aria-label": typeof title === "string" ? title : null },
    h("h2", null, title), children);
}
