// Changesets as the server answers them. Their numbers stay texts, their events and metadata as they were written.

import { text } from "./api.js";
import { items, members, plain } from "./json.js";

export function read(text) {
  const given = Object.fromEntries(members(text));
  const texts = ["stream_id", "timestamp", "stream_type"].map((name) => [name, name in given && given[name] !== "null" ? plain(given[name]) : null]);
  const numbers = ["checkpoint", "changeset_id", "first_event_id"].map((name) => [name, given[name] ?? null]);
  return {
    ...Object.fromEntries([...texts, ...numbers]),
    events: items(given.events ?? "[]"),
    metadata: given.metadata ?? "{}",
    quarantined: given.quarantined ? Object.fromEntries(members(given.quarantined).map(([name, value]) => [name, plain(value)])) : null,
    size: text.length,
  };
}

/** The changesets of an answer, and its other members as texts. */
export function readPage(text) {
  const { changesets = "[]", ...others } = Object.fromEntries(members(text));
  return { changesets: items(changesets).map(read), ...others };
}

/** The path of a stream. */
export function pathOfStream(id) {
  // In a URL these two are directions, not names.
  if (id === "." || id === "..") throw new Error("A browser can't ask for a stream with this id. Use the command: ees read.");
  return `streams/${encodeURIComponent(id)}`;
}

/** The changesets of a stream from one number to another. An answer has the checkpoint of its last one. */
export async function readStream(id, from, to, options) {
  return readPage(await text(`${pathOfStream(id)}/changesets?from=${from}&to=${to}&include=position`, options));
}

/** One changeset of a stream with its checkpoint, `null` while it has none. Undefined: there is no such changeset. */
export async function readOne(id, number, options) {
  const { changesets: [changeset], last_checkpoint: checkpoint = null } = await readStream(id, number, number, options);
  return changeset && { ...changeset, stream_id: id, checkpoint };
}
