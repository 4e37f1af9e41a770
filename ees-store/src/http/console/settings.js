// What the server was started with, and the scopes of its keys.

import { json, post } from "./api.js";
import { streamLink } from "./changeset.js";
import { ask } from "./dialog.js";
import { button, card, facts, foreign, h, lazily, table } from "./dom.js";
import { tell } from "./screen.js";
import { plural, time } from "./words.js";

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
      ? h("p", null, "This server has no API keys: every program that can connect may do everything.")
      : [h("p", null, `${plural(keys.length, "key")}. Only their hashes are kept, so this is all there is to show:`),
        facts(keys.map((scopes, at) => [`Key ${at + 1}`, scopes.join(", ")]))]),
  ];
}

/** Messages that a topic refused: they are read when the part is opened, since that takes a second. */
export function deadLetters(told, signal) {
  const queue = told.settings.find(({ name }) => name === "publish-dead-letters");
  if (!queue) return null;
  return card("Dead letters", { id: "dead-letters" }, queue.value === null
    ? h("p", null, "Nothing is set aside: the stream of a message that a topic rejects waits.")
    : [h("p", null, "Messages that a topic rejected for good are in the queue ", foreign(queue.value), "."),
      lazily({ id: "letters" }, "List them", signal, letters)]);
}

async function letters(signal) {
  const { dead_letters: all, has_more: hasMore } = await json("dead-letters", { signal });
  if (all.length === 0) return h("p", null, "There are none.");
  const rows = all.map((letter) => ({
    key: letter.id,
    cells: letter.unreadable === null
      ? [[streamLink(letter.stream_id), h("br"), h("small", null, `changeset ${letter.changeset_id}`, letter.event_id !== null && `, event ${letter.event_id}`)],
        foreign(letter.topic_arn), foreign(letter.error), time(letter.at)]
      : [h("small", null, "no dead letter"), "", foreign(letter.unreadable), ""],
  }));
  return [
    table("Dead letters", ["Message", "Topic", "Error", "Since"], rows),
    hasMore && h("p", null, "There may be more of them."),
    h("div", { class: "actions" }, button("Publish again…", redrive, { "data-operation": "redrive" })),
  ];
}

async function redrive() {
  let outcome = null;
  const isDone = await ask({
    title: "Publish dead letters again",
    sentence: "Each message is published to its topic again. Those that the topic takes are removed from the queue; the others stay there, hidden for 30 seconds.",
    fields: [],
    confirm: "Publish again",
    run: async () => {
      outcome = await post("dead-letters/redrive", {});
    },
  });
  if (!isDone) return;
  // What was listed is not in the queue any more.
  document.getElementById("letters").open = false;
  const { published, left } = outcome;
  tell(`${plural(published, "message")} published, ${left.length} left${left.length > 0 ? `: ${left[0].why}` : ""}.`);
}
