// What a reactor will do later, on its page.

import { has, may } from "./api.js";
import { streamLink } from "./changeset.js";
import { button, card, foreign, h, table } from "./dom.js";
import { items, members, tree } from "./json.js";
import { ofTimer, operate, rowButton } from "./operations.js";
import { count, since } from "./words.js";

/** The timers of an answer. A payload stays as it was written. */
export function timersIn(answer) {
  const [, timers] = members(answer).find(([name]) => name === "timers");
  return items(timers).map((timer) => {
    const [, payload] = members(timer).find(([name]) => name === "payload");
    return { ...JSON.parse(timer), payload };
  });
}

/** The timers of a reactor, at most `max`. Payloads stay hidden until they are asked for: they may hold personal data. */
export function timetable(status, timers, max, shown, again) {
  if (timers.length === 0) return null;
  const toggle = () => {
    shown.payloads = !shown.payloads;
    again();
  };
  const cancel = (timer) => async () => {
    if (await operate(status, "cancel_timer", ofTimer(timer))) again();
  };
  const rows = timers.map((timer) => ({
    key: `${timer.key} ${timer.stream_id}`,
    cells: [
      has.log ? streamLink(timer.stream_id) : foreign(timer.stream_id, 120),
      foreign(timer.key),
      since(timer.due),
      count(timer.attempts),
      [timer.error && foreign(timer.error), timer.error && h("p", null, h("small", null, "again ", since(timer.next_at))),
        shown.payloads ? tree(timer.payload, false) : h("small", null, "payload hidden")],
      may("admin", status.process) && h("div", { class: "actions" },
        rowButton("Cancel", timer.stream_id, cancel(timer), { class: "careful", "data-operation": "cancel_timer" })),
    ],
  }));
  return card("Timers", { id: "timers" },
    h("div", { class: "filters" }, button(shown.payloads ? "Hide payloads" : "Show payloads", toggle, { "aria-pressed": String(shown.payloads) })),
    table("Timers", ["Stream", "Key", "Due", "Failed", "Error and payload", "Actions"], rows, [3]),
    timers.length === max && h("p", null, `The first ${max}.`));
}
