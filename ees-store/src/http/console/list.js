// The list of streams: by the beginning of their ids, by type, the longest or the newest first.

import { json, Refusal } from "./api.js";
import { streamLink } from "./changeset.js";
import { button, card, draw, foreign, h, table } from "./dom.js";
import { field, go } from "./filters.js";
import { arrived } from "./screen.js";
import { count, plural, time } from "./words.js";

const PAGE = 50;
const ORDERS = [["id", "By id"], ["longest", "Longest first"], ["newest", "Newest first"]];

function filters({ prefix, stream_type: type, order }) {
  const choice = h("select", { name: "order" }, ORDERS.map(([name, label]) => h("option", { value: name, selected: name === order }, label)));
  const form = h("form", { class: "filters", role: "search", "aria-label": "List streams" },
    field("prefix", "Id begins with", prefix), field("stream_type", "Type", type),
    h("label", { class: "field" }, "Order", choice), h("button", { type: "submit" }, "List"));
  const prefixed = form.elements.namedItem("prefix");
  // With a prefix there is one order only.
  const agree = () => {
    choice.disabled = prefixed.value !== "";
    if (choice.disabled) choice.value = "id";
  };
  prefixed.oninput = agree;
  agree();
  form.onsubmit = (event) => {
    event.preventDefault();
    const wanted = { prefix: prefixed.value, stream_type: form.elements.namedItem("stream_type").value, order: choice.value };
    go("streams", Object.entries({ ...wanted, order: wanted.order === "id" ? "" : wanted.order }));
  };
  return form;
}

/** How far the list is behind the log. */
function behind({ checkpoint, head }) {
  return head > checkpoint && h("p", { class: "problem failing" },
    `The list is ${plural(head - checkpoint, "changeset")} behind the log: `,
    h("a", { href: "#/projections/stream_catalogue" }, "see the stream catalogue"), ".");
}

function result(page, wanted) {
  const rows = page.streams.map((stream) => ({
    key: stream.stream_id,
    cells: [streamLink(stream.stream_id), stream.stream_type !== null && foreign(stream.stream_type, 60), count(stream.changesets),
      count(stream.events), time(stream.first_commit), time(stream.last_commit)],
  }));
  return [
    rows.length === 0
      ? h("p", null, page.next === undefined ? "There is no such stream." : "None among those that were looked at. Go on.")
      : table("Streams", ["Stream", "Type", "Changesets", "Events", "Began", "Last commit"], rows, [2, 3]),
    h("div", { class: "bar" },
      button("First", () => go("streams", Object.entries({ ...wanted, after: "" })), { disabled: wanted.after === "" }),
      button("Next", () => go("streams", Object.entries({ ...wanted, after: page.next })), { disabled: page.next === undefined })),
  ];
}

/** The list that the address asks for, below what else the screen has. */
export async function list(root, above, query, signal) {
  const given = (name) => query.get(name) ?? "";
  const order = ORDERS.some(([name]) => name === given("order")) ? given("order") : "id";
  const wanted = { prefix: given("prefix"), stream_type: given("stream_type"), order: order === "id" ? "" : order, after: given("after") };
  const asked = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value !== ""));
  asked.set("limit", PAGE);
  let shown;
  try {
    const page = await json(`stream-list?${asked}`, { signal });
    shown = [behind(page), result(page, wanted)];
  } catch (error) {
    if (!(error instanceof Refusal) || ![400, 404, 503].includes(error.status)) throw error;
    shown = h("p", null, foreign(error.message));
  }
  if (signal.aborted) return;
  draw(root, above, card("All streams", { id: "stream-list" }, filters({ ...wanted, order }), shown));
  arrived();
}
