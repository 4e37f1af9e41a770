// What the server was started with, and the scopes of its keys.

import { card, facts, foreign, h, table } from "./dom.js";
import { plural } from "./words.js";

const SOURCES = { flag: "command line", environment: "environment", file: "file", default: "default" };

export function settings(told) {
  const rows = told.settings.map(({ name, value, source }) => ({
    key: name,
    cells: [h("code", null, name), value === null ? h("small", null, "not set") : foreign(value), SOURCES[source] ?? source],
  }));
  const keys = told.keys ?? null;
  return [
    card("Settings", { id: "settings" },
      h("p", { class: "quiet-text" }, "Where each value came from. Secrets are masked."),
      table("Settings", ["Setting", "Value", "From"], rows)),
    card("API keys", null, keys === null
      ? h("p", null, "This server has no API keys: whoever can connect may do everything.")
      : [h("p", null, `${plural(keys.length, "key")}. Only their hashes are kept, so this is all there is to show:`),
        facts(keys.map((scopes, at) => [`Key ${at + 1}`, scopes.join(", ")]))]),
    deadLetters(told.settings),
  ];
}

/** Messages that a topic refused are in a queue that only the command reads. */
function deadLetters(all) {
  const queue = all.find(({ name }) => name === "publish-dead-letters");
  if (!queue) return null;
  return card("Dead letters", { id: "dead-letters" }, queue.value === null
    ? h("p", null, "Nothing is set aside: the stream of a message that a topic rejects waits.")
    : [h("p", null, "Messages that a topic rejected for good are in the queue ", foreign(queue.value), ". The command lists them, and publishes them again:"),
      h("pre", { tabindex: "0" }, `ees dead-letters list --queue ${queue.value}\nees dead-letters redrive --queue ${queue.value}`)]);
}
