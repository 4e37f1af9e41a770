// The audit: what operators did to all projections and reactors, and why.

import { jsonIfAny, processes } from "./api.js";
import { button, card, draw, foreign, h } from "./dom.js";
import { pageOf } from "./overview.js";
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

/** The entries of a process, each with it. Where one of several does not answer, the others are shown all the same. */
async function ofProcess(process, shown, signal) {
  const asked = jsonIfAny(`${process.at}audit?${query(shown)}`, { signal });
  const answer = (await (processes.length > 1 ? asked.catch(() => null) : asked)) ?? { audit: [] };
  return { ...answer, audit: answer.audit.map((entry) => ({ ...entry, process })) };
}

export function show(root, _, signal) {
  const shown = atFirst();
  return poll(signal, async (again) => {
    const audits = await Promise.all(processes.map((process) => ofProcess(process, shown, signal)));
    const newest = audits.flatMap(({ audit }) => audit).sort((one, other) => new Date(other.at) - new Date(one.at));
    const audit = { audit: newest.slice(0, shown.auditLength), next: audits.find(({ next }) => next !== undefined)?.next };
    draw(root, h("h1", { tabindex: "-1" }, "Audit"),
      h("p", { class: "lead" }, "What operators did to all projections and reactors, and why."),
      timeline(audit, shown, again));
  });
}
