// Why a row is as it is: the events that made it, one at a time. Values and numbers stay as they were written.

import { json, text } from "./api.js";
import { logLink, streamLink } from "./changeset.js";
import { button, card, facts, foreign, h, table } from "./dom.js";
import { items, kind, members, plain, tree } from "./json.js";
import { count, plural, time } from "./words.js";

const STEPS = 1000;
const LOOK_MILLISECONDS = 500;
/** The column of a document that is no object. */
const WHOLE = "state";
const LEFT_OUT = { skipped: "An operator skipped it.", parked: "It is parked.", unreadable: "The current code can't read it." };

/** The card of a projection. It keeps what it shows when the screen is drawn again. */
export function explainer(path, signal) {
  const key = h("input", { id: "explain-key", name: "key", autocomplete: "off", spellcheck: "false" });
  const of = h("input", { id: "explain-table", name: "table", autocomplete: "off", spellcheck: "false" });
  const place = h("div", { id: "explained", role: "status" });
  let reading = null;
  const onsubmit = async (event) => {
    event.preventDefault();
    reading?.abort();
    const mine = new AbortController();
    reading = mine;
    const both = AbortSignal.any([signal, mine.signal]);
    place.replaceChildren("Replaying …");
    const isLast = () => reading === mine && !both.aborted;
    const looking = lookOn(path, both, isLast, (shown) => place.replaceChildren(...shown));
    try {
      const query = new URLSearchParams({ key: key.value, steps: STEPS, ...(of.value && { table: of.value }) });
      const explanation = read(await text(`${path}/explain?${query}`, { signal: both, isLong: true }));
      if (isLast()) stepper(place, explanation);
    } catch (error) {
      if (isLast()) place.replaceChildren(h("p", { class: "error-text" }, foreign(error.message)));
    } finally {
      clearInterval(looking);
      if (reading === mine) reading = null;
    }
  };
  return card("Explain a row", { id: "explain", "data-key": "explain", "data-keep": "" },
    h("form", { class: "filters", onsubmit },
      h("div", { class: "field wide" }, h("label", { for: "explain-key" }, "Key of the row"), key),
      h("div", { class: "field" }, h("label", { for: "explain-table" }, "Table, if there are several"), of),
      h("button", { type: "submit" }, "Explain")),
    place);
}

/** Shows how far the replay is, while there is one. */
function lookOn(path, signal, isLast, show) {
  return setInterval(async () => {
    const progress = await json(`${path}/explain/progress`, { signal }).catch(() => null);
    if (progress === null || !isLast()) return;
    const { checkpoint, until } = progress;
    show(["Replaying: checkpoint ", count(checkpoint), ` of ${count(until)} `, h("progress", { value: checkpoint, max: Math.max(until, 1) })]);
  }, LOOK_MILLISECONDS);
}

/** An explanation, its rows as columns and texts. */
function read(answer) {
  const given = Object.fromEntries(members(answer));
  const step = (whole) => {
    const parts = Object.fromEntries(members(whole));
    return {
      number: Number(parts.number),
      writer: writer(parts),
      time: plain(parts.timestamp),
      event: parts.event,
      before: columns(parts.before),
      after: columns(parts.after),
      changed: JSON.parse(parts.changed),
    };
  };
  return {
    table: plain(given.table),
    key: plain(given.key),
    checkpoint: given.checkpoint,
    isStored: given.is_stored === "true",
    stored: columns(given.stored ?? "null"),
    total: Number(given.steps_total),
    steps: items(given.steps).map(step),
    leftOut: JSON.parse(given.left_out),
    replayed: given.replayed,
  };
}

function writer({ checkpoint, stream_id: stream, changeset_id: changeset, event_id: event, type }) {
  return { checkpoint, stream: plain(stream), changeset, event, type: type === "null" ? null : plain(type) };
}

/** The columns of a row by their names; `null`: there is no row. */
function columns(row) {
  if (row === "null") return null;
  return kind(row) === "object" ? new Map(members(row)) : new Map([[WHOLE, row]]);
}

/** Shows one step after the other. */
function stepper(place, explanation) {
  const { steps } = explanation;
  const show = (at, focused) => {
    const go = (label, to) => button(label, () => show(to, label), { disabled: to < 0 || to >= steps.length || to === at, "data-step": label.toLowerCase() });
    place.replaceChildren(
      ...summary(explanation),
      ...(steps.length === 0 ? [] : [
        h("div", { class: "bar" }, go("First", 0), go("Previous", at - 1), go("Next", at + 1), go("Last", steps.length - 1),
          h("span", { class: "state" }, `Step ${count(steps[at].number)} of ${count(explanation.total)}`)),
        shown(steps, at)]),
    );
    if (!focused) return;
    const same = place.querySelector(`[data-step=${focused.toLowerCase()}]`);
    (same.disabled ? place.querySelector("[data-step]:not(:disabled)") : same)?.focus();
  };
  show(Math.max(steps.length - 1, 0), null);
}

function summary({ checkpoint, isStored, stored, total, leftOut, replayed }) {
  return [
    h("p", null, `${plural(total, "event")} changed the row up to checkpoint ${count(checkpoint)}; ${plural(replayed, "changeset")} replayed.`),
    !isStored && h("div", { class: "problem standing" },
      h("p", null, "The database has another row. Its code has changed without a new version, somebody has written to the table, or an operator has set the checkpoint."),
      stored === null ? "It has no row." : table("The row in the database", ["Column", "Value"], [...stored].map(([name, value]) => ({ key: name, cells: [foreign(name), tree(value, false)] })))),
    leftOut.length > 0 && h("ul", { class: "links" }, leftOut.map(({ stream_id: stream, changeset_id: changeset, why }) =>
      h("li", null, "Left out: changeset ", count(changeset), " of ", streamLink(stream), ". ", LEFT_OUT[why] ?? ""))),
  ].filter(Boolean);
}

function shown(steps, at) {
  const { writer: by, time: when, event, before, after, changed } = steps[at];
  const names = [...new Set([...(before?.keys() ?? []), ...(after?.keys() ?? [])])];
  const value = (row, name) => (row?.has(name) ? tree(row.get(name), false) : h("span", { class: "quiet-text" }, row === null ? "no row" : "absent"));
  const rows = names.map((name) => {
    const isChanged = changed.includes(name);
    return {
      key: name,
      cells: [
        [foreign(name), isChanged && [" ", h("span", { class: "mark busy" }, "changed")]],
        value(before, name),
        value(after, name),
        after?.has(name) && lastWriter(steps, at, name),
      ],
    };
  });
  return h("div", null,
    facts([
      ["Event", by.type === null ? "(no type)" : foreign(by.type)],
      ["Stream", streamLink(by.stream)],
      ["Changeset", by.changeset],
      ["Event id", by.event],
      ["Checkpoint", logLink(by.checkpoint)],
      ["Committed", time(when)],
    ]),
    h("div", { class: "event" }, event === "null" ? "The event is too large to be shown here." : tree(event, false)),
    before === null && h("p", null, "There was no row before."),
    after === null && h("p", null, "The event deleted the row."),
    table("The row before and after the event", ["Column", "Before", "After", "Last written by"], rows));
}

/** The event up to a step that has written a column last. */
function lastWriter(steps, at, name) {
  for (let place = at; place >= 0; place -= 1) {
    const { number, changed, writer: by } = steps[place];
    if (changed.includes(name)) return place === at ? "this event" : ["step ", count(number), by.type === null ? "" : [": ", foreign(by.type)]];
    if (place > 0 && steps[place - 1].number !== number - 1) return "a step that is not shown";
  }
  return null;
}
