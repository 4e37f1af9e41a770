// The audit: what operators did to all projections and reactors, and why.

import { eachProcess, jsonIfAny } from "./api.js";
import { button, card, draw, foreign, h } from "./dom.js";
import { pageOf } from "./overview.js";
import { unanswered } from "./problems.js";
import { poll } from "./screen.js";
import { count, time } from "./words.js";

const PAGE = 50;
const MAX = 1000;

/** Entries as a timeline, the newest first, with a button for older ones where there are some. */
export function timeline({ audit, next }, shown, again) {
  const more = next !== undefined && shown.auditLength < MAX;
  const older = () => {
    shown.auditLength += PAGE;
    again();
  };
  return card("Audit", { id: "audit" },
    audit.length === 0 && h("p", null, "No operator has done anything so far."),
    h("ol", { class: "timeline" }, audit.map((entry) => h("li", { "data-key": `${entry.at} ${entry.projection ?? ""}` },
      entry.projection !== undefined && [h("a", { href: pageOf({ name: entry.projection.replace(/__standby$/, ""), process: entry.process }) }, entry.projection), ": "],
      h("strong", null, entry.action.replaceAll("_", " ")), " ", h("small", null, time(entry.at), ` · at checkpoint ${count(entry.checkpoint)}`),
      entry.reason && h("p", null, foreign(entry.reason)),
      entry.detail && h("p", { class: "detail" }, foreign(entry.detail))))),
    more && button("Show older", older));
}

/** As many entries as are shown at first. */
export function atFirst() {
  return { auditLength: PAGE };
}

/** The query for the entries that are shown. */
export function query({ auditLength }) {
  return `limit=${Math.min(auditLength, MAX)}`;
}

/** Each entry once: processes with the same database tell the same. */
function once(entries) {
  const keyOf = ({ at, projection, action, detail, reason }) => JSON.stringify([at, projection, action, detail, reason]);
  return [...new Map(entries.toReversed().map((entry) => [keyOf(entry), entry])).values()];
}

export function show(root, _, signal) {
  const shown = atFirst();
  return poll(signal, async (again) => {
    const answers = await eachProcess(({ at }) => jsonIfAny(`${at}audit?${query(shown)}`, { signal }));
    const entries = once(answers.flatMap(({ process, value }) => (value?.audit ?? []).map((entry) => ({ ...entry, process }))));
    entries.sort((one, other) => new Date(other.at) - new Date(one.at));
    const { next } = answers.find(({ value }) => value?.next !== undefined)?.value ?? {};
    draw(root, h("h1", { tabindex: "-1" }, "Audit"),
      h("p", { class: "lead" }, "What operators did to all projections and reactors, and why."),
      unanswered(answers),
      timeline({ audit: entries.slice(0, shown.auditLength), next }, shown, again));
  });
}
