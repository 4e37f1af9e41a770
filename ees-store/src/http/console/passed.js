// Which projections and reactors have passed a changeset, and when.

import { allProjections, eachProcess, has, jsonIfAny, pathOf } from "./api.js";
import { foreign, h, lazily, table } from "./dom.js";
import { pageOf } from "./overview.js";
import { stateInWords } from "./problems.js";
import { count, plural, time } from "./words.js";

/** What a projection did with a changeset: a word, how bad that is, and more about it. */
const WORDS = {
  passed: ({ after, before }) => ["Passed", "good", ["After ", time(after), ", before ", time(before), "."]],
  passed_over: ({ at }) => ["Passed over", "quiet", ["An operator set the checkpoint past it, ", time(at), "."]],
  skipped: ({ at }) => ["Skipped", "quiet", ["An operator left it out", at && [", ", time(at)], "."]],
  parked: ({ first, since }) => ["Parked", "failing", [`The stream waits from changeset ${count(first)} on, since `, time(since), "."]],
  paused_before: ({ since }) => ["Paused before it", "standing", ["It is paused here, since ", time(since), "."]],
  not_yet: ({ changesets_before: before }) => ["Not yet", "busy", `${plural(before, "changeset")} before it.`],
  perhaps: () => ["Perhaps", "quiet", "Some of its partitions have passed it."],
};

async function look({ stream_id: stream, changeset_id: id }, signal) {
  const query = new URLSearchParams({ stream_id: stream, changeset_id: id });
  const [{ projections }, answers] = await Promise.all([
    allProjections(signal),
    eachProcess(({ at }) => jsonIfAny(`${at}passed?${query}`, { signal })),
  ]);
  if (projections.length === 0) return h("p", null, "This process runs no projections.");
  if (answers.every(({ value }) => value === null)) return h("p", null, "It has no checkpoint yet, so no projection has seen it.");
  const rows = projections.map((status) => {
    const { value, error } = answers.find(({ process }) => process === status.process);
    const told = value?.projections.find(({ name }) => name === status.name);
    const unknown = ["Unknown", "quiet", error ? foreign(error.message) : stateInWords(status)];
    const [word, level, more] = told && told.verdict in WORDS ? WORDS[told.verdict](told) : unknown;
    return { key: pathOf(status), cells: [h("a", { href: pageOf(status) }, status.name), h("span", { class: `mark ${level}` }, word), more] };
  });
  return table("Projections and this changeset", ["Name", "This changeset", ""], rows);
}

/** Says it when it is opened. */
export function passed(changeset, screen) {
  return has.projections && lazily({}, "Which projections have passed it", screen, (signal) => look(changeset, signal));
}
