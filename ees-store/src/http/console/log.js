// The log: what arrives, live and bounded; or a part of it from a checkpoint on.

import { follow, head, json, text } from "./api.js";
import { row } from "./changeset.js";
import { button, draw, h } from "./dom.js";
import { field, go } from "./filters.js";
import { kind, members, plain } from "./json.js";
import { read, readPage } from "./reading.js";
import { arrived, complain } from "./screen.js";
import { count, isWhole, plural } from "./words.js";

const NO_PLACE = "A checkpoint is a whole number. A time is written as 2026-11-21 09:30.";
const ROWS_MAX = 500;
const CHARACTERS_MAX = 16_000_000;
const DRAW_MILLISECONDS = 150;
const BEFORE_THE_HEAD = 50;
const PAGE = 50;
const SEARCH_PAGE = 1000;
const SEARCH_MAX = 10_000;

export function show(root, { query }, signal) {
  const filter = ["stream_type", "event_type"].flatMap((name) => query.getAll(name).map((value) => [name, value]));
  const parts = { root, query, filter: new URLSearchParams(filter), signal };
  if (query.has("related")) return search(parts);
  if (query.has("time")) return at(parts, query.get("time"));
  return isWhole(query.get("checkpoint") ?? "") ? part(parts, query.get("checkpoint")) : tail(parts);
}

function frame({ query }, title, state, actions, list) {
  return [h("h1", { tabindex: "-1" }, title), filters(query), h("div", { class: "bar" }, actions, h("span", { class: "state", role: "status" }, state)), list];
}

/** A time as somebody writes it. A date alone is its beginning where the reader is, as is a time without a zone. */
function timeOf(written) {
  if (!/^\d{4}-\d\d-\d\d/.test(written)) return null;
  const time = new Date(/^.{10}$/.test(written) ? `${written}T00:00` : written);
  return Number.isNaN(time.getTime()) ? null : time;
}

function filters(query) {
  const listOf = (name) => query.getAll(name).join(", ");
  const form = h("form", { class: "filters", role: "search", "aria-label": "Filter" },
    field("stream_type", "Stream type", listOf("stream_type")),
    field("event_type", "Event type", listOf("event_type")),
    field("checkpoint", "Checkpoint or time", query.get("checkpoint") ?? query.get("time") ?? ""),
    h("button", { type: "submit", class: "primary" }, "Show"));
  form.onsubmit = (event) => {
    event.preventDefault();
    const given = new FormData(form);
    const names = (name) => given.get(name).split(",").map((value) => [name, value.trim()]);
    const checkpoint = given.get("checkpoint").trim();
    const place = checkpoint === "" || isWhole(checkpoint) ? ["checkpoint", checkpoint] : ["time", checkpoint];
    if (place[0] === "time" && timeOf(checkpoint) === null) complain(NO_PLACE);
    else go("log", [...names("stream_type"), ...names("event_type"), place]);
  };
  return form;
}

/** Follows the end of the log. */
async function tail(parts) {
  const { root, filter, signal } = parts;
  const list = h("div", { class: "log", id: "log", role: "list", "aria-label": "Changesets, newest first" });
  const state = h("span", { class: "state" });
  let following = null;
  let place;
  let received = 0;
  let isConnected = false;
  let pending = [];
  let drawing = null;

  const say = () => {
    const how = following === null ? "Paused" : isConnected ? "Following" : "Connecting …";
    state.textContent = `${how} · ${count(received)} received · ${count(list.childElementCount)} shown`;
  };
  const drawNow = () => {
    drawing = null;
    // What would be dropped at once is not made.
    const fresh = pending.map(read).reverse();
    pending = [];
    list.prepend(...fresh.map((changeset) => item(changeset, signal)));
    let characters = 0;
    for (const [at, entry] of [...list.children].entries()) {
      characters += Number(entry.dataset.size);
      if (at >= ROWS_MAX || (at > 0 && characters > CHARACTERS_MAX)) entry.remove();
    }
    say();
  };
  const onEvent = (name, data, at) => {
    place = at;
    if (name !== "changeset" || data === null) return;
    received += 1;
    pending.push(data);
    if (pending.length > ROWS_MAX) pending.shift();
    drawing ??= setTimeout(drawNow, list.childElementCount === 0 ? 0 : DRAW_MILLISECONDS);
  };
  const onState = (now) => {
    isConnected = now;
    say();
  };
  const toggle = button("Pause", () => {
    if (following !== null) stop();
    else start();
  }, { id: "pause" });
  const stop = () => {
    following?.abort();
    following = null;
    toggle.textContent = "Go on";
    say();
  };
  const start = () => {
    const mine = new AbortController();
    following = mine;
    toggle.textContent = "Pause";
    say();
    const query = new URLSearchParams([...filter, ["include", "position"], ["checkpoint", begin]]);
    follow(`changesets?${query}`, { signal: mine.signal, from: place, onEvent, onState }).catch((error) => {
      complain(error.message);
      stop();
    });
  };

  const begin = String(Math.max(0, (await head(signal)) - (filter.size > 0 ? SEARCH_PAGE : BEFORE_THE_HEAD)));
  if (signal.aborted) return;
  draw(root, frame(parts, "Log", "", [toggle, state], list));
  arrived();
  start();
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  following?.abort();
  clearTimeout(drawing);
}

function item(changeset, signal) {
  return h("div", { role: "listitem", "data-size": String(changeset.size) }, row(changeset, signal));
}

function listOf(changesets, signal) {
  return h("div", { class: "log", id: "log", role: "list", "aria-label": "Changesets, oldest first" }, changesets.map((changeset) => item(changeset, signal)));
}

/** A page of the log from a time on. */
async function at(parts, written) {
  const time = timeOf(written);
  if (time === null) throw new Error(NO_PLACE);
  const { checkpoint } = await json(`changesets/at?time=${encodeURIComponent(time.toISOString())}`, { signal: parts.signal });
  return part(parts, String(checkpoint));
}

/** A page of the log. */
async function part(parts, checkpoint) {
  const { root, filter, query, signal } = parts;
  const wanted = new URLSearchParams([...filter, ["include", "position"], ["checkpoint", checkpoint], ["limit", String(PAGE)]]);
  const page = readPage(await text(`changesets?${wanted}`, { signal }));
  if (signal.aborted) return;
  const to = (place) => () => go("log", [...filter, ["checkpoint", place]]);
  const isLast = BigInt(page.next_checkpoint) >= BigInt(page.head);
  const before = BigInt(checkpoint) > BigInt(PAGE) ? BigInt(checkpoint) - BigInt(PAGE) : 0n;
  const actions = [
    button("Earlier", to(String(before)), { disabled: BigInt(checkpoint) === 0n }),
    button("Later", to(page.next_checkpoint), { disabled: isLast }),
    button("Follow the end", () => go("log", [...filter])),
  ];
  const state = page.changesets.length > 0 ? `From checkpoint ${checkpoint}; the head is ${page.head}` : `Nothing from checkpoint ${checkpoint} on; the head is ${page.head}`;
  draw(root, frame({ query }, "Log", state, actions, listOf(page.changesets, signal)));
  const first = root.querySelector("details.row");
  if (first && page.changesets[0].checkpoint === checkpoint) first.open = true;
  arrived();
}

/** Looks through the log for changesets that have an id in their metadata, from a little before one of them on. */
async function search(parts) {
  const { root, query, signal } = parts;
  const wanted = query.get("related");
  const near = isWhole(query.get("near") ?? "") ? BigInt(query.get("near")) : 0n;
  const half = BigInt(SEARCH_MAX / 2);
  const list = listOf([], signal);
  const state = h("span", { class: "state", role: "status" });
  const go_on = button("Search on", () => searchOn(), { disabled: true });
  let at = near > half ? near - half : 0n;
  const begun = at;
  let found = 0;
  const has = ({ metadata }) => kind(metadata) === "object" && members(metadata).some(([, value]) => plain(value) === wanted);

  const look = async () => {
    complain("");
    const end = at + BigInt(SEARCH_MAX);
    let isLast = false;
    let room = ROWS_MAX;
    while (!isLast && room > 0 && at < end && !signal.aborted) {
      const page = readPage(await text(`changesets?include=position&limit=${SEARCH_PAGE}&checkpoint=${at}`, { signal }));
      const all = page.changesets.filter(has);
      const matching = all.slice(0, room);
      room -= matching.length;
      found += matching.length;
      list.append(...matching.map((changeset) => item(changeset, signal)));
      // What there is no room for is found by the next search.
      const next = all.length > matching.length ? BigInt(matching.at(-1).checkpoint) + 1n : BigInt(page.next_checkpoint);
      isLast = next >= BigInt(page.head) || next === at;
      at = next;
      state.textContent = `${plural(found, "changeset")} from checkpoint ${begun} to ${at}${isLast ? ", the end of the log" : ""}`;
    }
    return isLast;
  };
  const searchOn = async () => {
    let isLast = false;
    go_on.disabled = true;
    try {
      isLast = await look();
    } catch (error) {
      if (!signal.aborted) complain(error.message);
    }
    go_on.disabled = isLast;
  };
  const from = button("Search from the beginning", () => go("log", [["related", wanted], ["near", "0"]]), { disabled: begun === 0n });
  draw(root, frame({ query }, "Changesets with the same id", "", [go_on, from, button("Follow the end", () => go("log", [])), state], list));
  root.querySelector("h1").after(h("p", null, h("bdi", { class: "foreign" }, wanted)));
  arrived();
  await searchOn();
}
