// A changeset, shown.

import { details, facts, foreign, h, inParts } from "./dom.js";
import { kind, members, plain, tree } from "./json.js";
import { passed } from "./passed.js";
import { bytes, plural, time } from "./words.js";

const LINKED = /^(correlation|causation|message|command|request|trace)_?id$/i;
const TYPES = 6;

function typeOf(event) {
  if (kind(event) !== "object") return null;
  const type = members(event).find(([name]) => name === "type");
  return type && kind(type[1]) === "text" ? plain(type[1]) : null;
}

/** The types of its events, as often as they come. */
function types(changeset) {
  if (changeset.quarantined) return [h("span", { class: "mark standing" }, "Quarantined")];
  const counts = new Map();
  for (const event of changeset.events) {
    const type = typeOf(event) ?? "(no type)";
    counts.set(type, (counts.get(type) ?? 0) + 1);
  }
  const shown = [...counts].slice(0, TYPES).map(([type, times]) => h("span", { class: "type" }, foreign(type, 60), times > 1 && ` ×${times}`));
  return counts.size > TYPES ? [...shown, `+${counts.size - TYPES}`] : shown;
}

export function streamLink(id, label) {
  return h("a", { href: `#/streams/${encodeURIComponent(id)}` }, label ?? foreign(id, 120));
}

export function logLink(checkpoint) {
  return h("a", { href: `#/log?checkpoint=${checkpoint}` }, checkpoint);
}

function verbatim(text) {
  const size = bytes(text.length);
  return details({ class: "verbatim" }, `Verbatim text (${size})`, () => h("pre", { tabindex: "0" }, h("bdi", null, text)));
}

/** A line for a changeset, which opens to everything about it. The signal ends with the screen. */
export function row(changeset, signal) {
  return details({ class: "row" }, [
    h("span", { class: "number" }, changeset.checkpoint ?? ""),
    changeset.timestamp === null ? h("span") : time(changeset.timestamp),
    h("bdi", { class: "stream" }, changeset.stream_id ?? ""),
    h("span", { class: "number" }, `#${changeset.changeset_id}`),
    h("span", { class: "types" }, types(changeset)),
  ], () => [view(changeset), passed(changeset, signal)]);
}

/** Everything about a changeset. */
export function view(changeset) {
  const first = changeset.first_event_id;
  return h("div", { class: "changeset" },
    facts([
      ["Stream", changeset.stream_id !== null && streamLink(changeset.stream_id)],
      ["Stream type", changeset.stream_type !== null && foreign(changeset.stream_type)],
      ["Changeset", changeset.changeset_id],
      ["Checkpoint", changeset.checkpoint !== null && logLink(changeset.checkpoint)],
      ["Committed", changeset.timestamp !== null && time(changeset.timestamp)],
    ]),
    changeset.quarantined && quarantine(changeset.quarantined),
    h("h2", { class: "minor" }, plural(changeset.events.length, "event")),
    inParts(h("ol", { class: "events", start: first ?? "1" }), changeset.events, (event) => h("li", null,
      h("div", { class: "event" }, h("strong", null, foreign(typeOf(event) ?? "(no type)")), tree(event), verbatim(event)))),
    h("h2", { class: "minor" }, "Metadata"),
    related(changeset),
    tree(changeset.metadata), verbatim(changeset.metadata));
}

function quarantine({ reason, events, metadata }) {
  return h("div", { class: "problem standing" },
    h("p", null, "This changeset can't be read: ", foreign(reason)),
    h("h2", { class: "minor" }, "Events as the store holds them"), verbatim(events),
    h("h2", { class: "minor" }, "Metadata as the store holds it"), verbatim(metadata));
}

/** Links to what has the same ids in its metadata. */
function related(changeset) {
  if (kind(changeset.metadata) !== "object" || changeset.checkpoint === null) return null;
  const ids = members(changeset.metadata).filter(([name, value]) => LINKED.test(name) && kind(value) !== "object" && kind(value) !== "list");
  const links = ids.map(([name, value]) => {
    const query = new URLSearchParams({ related: plain(value), near: changeset.checkpoint });
    return h("li", null, h("a", { href: `#/log?${query}` }, "Changesets with the same ", foreign(name, 40)));
  });
  return links.length > 0 && h("ul", { class: "links" }, links);
}
