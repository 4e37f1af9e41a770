// Walks through JSON text without turning it into values: a browser's numbers end at 2^53, those of a store do
// not. The text comes from the server and is well-formed.

import { details, foreign, h, inParts } from "./dom.js";
import { plural } from "./words.js";

const SPACE = /[ \t\r\n]*/y;
const SCALAR = /[^,\]} \t\r\n]+/y;
const MARK = /["[\]{}]/g;

function afterSpace(text, at) {
  SPACE.lastIndex = at;
  SPACE.test(text);
  return SPACE.lastIndex;
}

/** Where the string that begins at `at` has ended. */
function afterString(text, at) {
  let end = at;
  for (;;) {
    end = text.indexOf('"', end + 1);
    if (end < 0) return text.length;
    let escapes = 0;
    while (text[end - 1 - escapes] === "\\") escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
}

/** Where the value that begins at `at` has ended. */
function afterValue(text, at) {
  if (text[at] === '"') return afterString(text, at);
  if (text[at] !== "{" && text[at] !== "[") {
    SCALAR.lastIndex = at;
    return SCALAR.test(text) ? SCALAR.lastIndex : text.length;
  }
  let depth = 0;
  MARK.lastIndex = at;
  for (let mark = MARK.exec(text); mark !== null; mark = MARK.exec(text)) {
    if (mark[0] === '"') MARK.lastIndex = afterString(text, mark.index);
    else depth += mark[0] === "{" || mark[0] === "[" ? 1 : -1;
    if (depth === 0) return mark.index + 1;
  }
  return text.length;
}

/** The texts of a list's items. */
export function items(text) {
  const found = [];
  let at = afterSpace(text, afterSpace(text, 0) + 1);
  while (at < text.length && text[at] !== "]") {
    const end = afterValue(text, at);
    found.push(text.slice(at, end));
    at = afterSpace(text, end);
    if (text[at] === ",") at = afterSpace(text, at + 1);
  }
  return found;
}

/** An object's members, as names and texts. */
export function members(text) {
  const found = [];
  let at = afterSpace(text, afterSpace(text, 0) + 1);
  while (at < text.length && text[at] !== "}") {
    const name = afterString(text, at);
    const value = afterSpace(text, afterSpace(text, name) + 1);
    const end = afterValue(text, value);
    found.push([JSON.parse(text.slice(at, name)), text.slice(value, end)]);
    at = afterSpace(text, end);
    if (text[at] === ",") at = afterSpace(text, at + 1);
  }
  return found;
}

export function kind(text) {
  const first = text[afterSpace(text, 0)];
  return first === "{" ? "object" : first === "[" ? "list" : first === '"' ? "text" : "scalar";
}

/** The text of a string; anything else as it is written. */
export function plain(text) {
  return kind(text) === "text" ? JSON.parse(text) : text.trim();
}

/** A value as a tree that opens where it is asked to. Numbers are shown as they were written. */
export function tree(text, isOpen = true) {
  const what = kind(text);
  if (what === "text") return h("span", { class: "json-text" }, "“", foreign(JSON.parse(text)), "”");
  if (what === "scalar") return h("span", { class: "json-scalar" }, foreign(text.trim()));
  const entries = what === "object" ? members(text) : items(text).map((item, at) => [String(at), item]);
  const name = what === "object" ? "member" : "entry";
  if (entries.length === 0) return h("span", { class: "json-scalar" }, what === "object" ? "{ }" : "[ ]");
  const size = plural(entries.length, name, name === "entry" ? "entries" : undefined);
  return details({ class: "json", open: isOpen }, size, () => rows(entries));
}

function rows(entries) {
  return inParts(h("ul"), entries, ([name, value]) => h("li", null, h("span", { class: "json-name" }, foreign(name)), ": ", tree(value, false)));
}
