// A stream: its changesets, and appending to it behind a switch.

import { may, Refusal, text } from "./api.js";
import { row } from "./changeset.js";
import { ask } from "./dialog.js";
import { button, card, draw, foreign, h } from "./dom.js";
import { list } from "./list.js";
import { pathOfStream, readPage, readStream } from "./reading.js";
import { arrived, tell } from "./screen.js";
import { isWhole, plural } from "./words.js";

const PAGE = 25;

/** Whether appending is offered. Off until somebody switches it on in this tab. */
let appends = false;

export function show(root, { id, query }, signal) {
  return id === null ? list(root, [h("h1", { tabindex: "-1" }, "Streams"), finder("")], query, signal) : page(root, id, query, signal);
}

function open(id, query = {}) {
  const wanted = new URLSearchParams(query);
  location.hash = `#/streams/${encodeURIComponent(id)}${wanted.size > 0 ? `?${wanted}` : ""}`;
}

function finder(id) {
  const input = h("input", { name: "id", value: id, required: true, spellcheck: "false", autocomplete: "off" });
  const form = h("form", { class: "filters", role: "search", "aria-label": "Find a stream" },
    h("label", { class: "field wide" }, "Stream id", input), h("button", { type: "submit", class: "primary" }, "Show"));
  form.onsubmit = (event) => {
    event.preventDefault();
    if (input.value !== "") open(input.value);
  };
  return form;
}

/** The number of the last changeset: the ends of ranges are tried, since numbers have no gaps. 0: there is no stream. */
async function lastOf(id, signal) {
  const isThere = async (number) => {
    const answer = await text(`${pathOfStream(id)}/changesets?from=${number}&to=${number}`, { signal });
    return readPage(answer).changesets.length > 0;
  };
  try {
    if (!(await isThere(1))) return 0;
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) return 0;
    throw error;
  }
  let low = 1;
  let high = 2;
  while (await isThere(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isThere(middle)) low = middle;
    else high = middle;
  }
  return low;
}

async function page(root, id, query, signal) {
  const last = await lastOf(id, signal);
  const isNewest = query.get("order") !== "oldest";
  const given = isWhole(query.get("at") ?? "") ? Number(query.get("at")) : isNewest ? last : 1;
  const at = Math.min(Math.max(given, 1), Math.max(last, 1));
  const [from, to] = isNewest ? [Math.max(1, at - PAGE + 1), at] : [at, Math.min(last, at + PAGE - 1)];
  const answer = last === 0 ? null : await readStream(id, from, to, { signal });
  if (signal.aborted) return;
  const changesets = (answer?.changesets ?? []).map((changeset) => ({ ...changeset, stream_id: id }));
  const end = changesets.length > 0 ? Number(changesets.at(-1).changeset_id) : to;
  const order = isNewest ? "newest" : "oldest";
  const again = () => !signal.aborted && (location.hash.includes("?") ? open(id) : dispatchEvent(new HashChangeEvent("hashchange")));
  const [back, on] = isNewest ? [Math.min(last, at + PAGE), from - 1] : [Math.max(1, at - PAGE), end + 1];
  const isEnd = isNewest ? from <= 1 : end >= last;
  const type = changesets[0]?.stream_type;
  draw(root,
    h("h1", { tabindex: "-1" }, "Stream ", foreign(id, 200)),
    finder(id),
    last === 0
      ? card("No such stream", null, h("p", null, "The store has no stream with this id. Its first commit begins it."))
      : [
        h("p", { class: "lead" }, plural(last, "changeset"), type && [" · type ", foreign(type)]),
        h("div", { class: "bar" },
          button(isNewest ? "Oldest first" : "Newest first", () => open(id, { order: isNewest ? "oldest" : "newest" })),
          button("Back", () => open(id, { order, at: back }), { disabled: isNewest ? at >= last : at <= 1 }),
          button("On", () => open(id, { order, at: on }), { disabled: isEnd }),
          h("span", { class: "state" }, `Changesets ${from} to ${end}`)),
        h("div", { class: "log", id: "log", role: "list", "aria-label": `Changesets, ${order} first` },
          (isNewest ? changesets.reverse() : changesets).map((changeset) => h("div", { role: "listitem" }, row(changeset, signal)))),
      ],
    may("commit") && appending(id, last, again));
  arrived();
}

function appending(id, last, again) {
  const act = button("Append…", async () => {
    if (await append(id, last)) {
      tell("Appended.");
      again();
    }
  }, { id: "append", hidden: !appends });
  const toggle = h("input", { type: "checkbox", id: "appends", role: "switch" });
  toggle.checked = appends;
  toggle.onchange = () => {
    appends = toggle.checked;
    act.hidden = !appends;
  };
  return card("Append", null, h("div", { class: "check" }, toggle, h("label", { for: "appends" }, "Allow appending to streams in this tab")), act);
}

function append(id, last) {
  const idempotency = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const fields = [
    { name: "events", label: "Events", type: "textarea", rows: 6, required: true, value: '[{"type": ""}]', hint: "A JSON list. Every token is stored as it is written." },
    { name: "metadata", label: "Metadata", type: "textarea", rows: 2, value: "{}", hint: "A JSON object: who, why." },
    { name: "expected", label: "Expected last changeset", type: "number", required: true, value: String(last), hint: "0: the stream is new." },
  ];
  if (last === 0) fields.push({ name: "type", label: "Stream type", type: "text", value: "", hint: "Optional. The first commit fixes it." });
  return ask({
    title: "Append a changeset",
    sentence: ["A changeset is appended to the stream ", foreign(id, 120), ". It can't be changed or removed afterwards."],
    fields,
    confirm: "Append",
    run: async ({ events, metadata, expected, type = "" }) => {
      check(events, "Events", Array.isArray, "a JSON list");
      check(metadata || "{}", "Metadata", (value) => value !== null && typeof value === "object" && !Array.isArray(value), "a JSON object");
      const headers = { "Idempotency-Key": idempotency, ...(type.trim() && { "Stream-Type": type.trim() }) };
      const body = `{"events":${events},"metadata":${metadata || "{}"}}`;
      await text(`${pathOfStream(id)}?expected_last_changeset=${expected}`, { method: "POST", headers, body });
    },
  });
}

/** The text is sent as it is: this only finds what is no JSON. */
function check(written, name, isRight, what) {
  let value;
  try {
    value = JSON.parse(written);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
  if (!isRight(value)) throw new Error(`${name} must be ${what}.`);
}
