// Reactors: their list, and the ledger of effects on the page of one.

import { has, may } from "./api.js";
import { streamLink } from "./changeset.js";
import { button, card, foreign, h, table } from "./dom.js";
import { items, members, tree } from "./json.js";
import { ofParked, operate, rowButton } from "./operations.js";
import { list, page } from "./projections.js";
import { count, since } from "./words.js";

const STATES = [["", "All"], ["parked", "Given up"], ["failed", "Failed"], ["started", "Started"], ["done", "Done"], ["discarded", "Discarded"]];
const LEVELS = { parked: "standing", failed: "failing", started: "busy", done: "good", discarded: "quiet" };

export function show(root, { id, query }, signal) {
  return id === null ? list(root, "reactor", signal) : page(root, id, query, signal);
}

/** The effects of an answer. A result stays as it was written. */
export function effectsIn(answer) {
  const [, effects] = members(answer).find(([name]) => name === "effects");
  return items(effects).map((effect) => {
    const result = members(effect).find(([name]) => name === "result")?.[1] ?? "null";
    return { ...JSON.parse(effect), result: result === "null" ? null : result };
  });
}

/** The effects of a reactor, at most `max`. Results stay hidden until they are asked for: they may hold personal data. */
export function ledger(status, effects, max, shown, again) {
  const choose = (state) => () => {
    shown.effects = state;
    again();
  };
  const filter = STATES.map(([state, label]) => button(label, choose(state), { "aria-pressed": String(state === shown.effects) }));
  const toggle = () => {
    shown.results = !shown.results;
    again();
  };
  const act = (effect, operation) => async () => {
    const stream = { stream_id: effect.stream_id, first: effect.changeset_id };
    if (await operate(status, operation, ofParked[operation](stream))) again();
  };
  const rows = effects.map((effect) => ({
    key: `${effect.event_id} ${effect.effect} ${effect.stream_id}`,
    cells: [
      [has.log ? streamLink(effect.stream_id) : foreign(effect.stream_id, 120), h("br"), h("small", null, `changeset ${effect.changeset_id}, event ${effect.event_id}`)],
      foreign(effect.effect),
      h("span", { class: `mark ${LEVELS[effect.state] ?? "quiet"}` }, STATES.find(([state]) => state === effect.state)?.[1] ?? effect.state),
      count(effect.attempts),
      since(effect.began_at),
      [effect.error && foreign(effect.error),
        effect.result !== null && (shown.results ? tree(effect.result, false) : h("small", null, "result hidden"))],
      may("admin", status.process) && ["parked", "failed"].includes(effect.state) && h("div", { class: "actions" },
        rowButton("Retry now", effect.stream_id, act(effect, "retry"), { "data-operation": "retry_effect" }),
        rowButton("Discard", effect.stream_id, act(effect, "discard"), { class: "careful", "data-operation": "discard_effect" })),
    ],
  }));
  return card("Effects", { id: "effects" },
    h("div", { class: "filters", role: "group", "aria-label": "State" }, filter,
      button(shown.results ? "Hide results" : "Show results", toggle, { "aria-pressed": String(shown.results) })),
    rows.length === 0 ? h("p", null, "None.") : table("Effects", ["Stream", "Effect", "State", "Attempts", "Last attempt", "Outcome", "Actions"], rows, [3]),
    rows.length === max && h("p", null, `The latest ${max}.`));
}
