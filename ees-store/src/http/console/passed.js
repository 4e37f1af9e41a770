// Which projections and reactors have passed a changeset.

import { allProjections, has, json, pathOf } from "./api.js";
import { foreign, h, lazily, table } from "./dom.js";
import { pageOf } from "./overview.js";
import { stateInWords } from "./problems.js";
import { readOne } from "./reading.js";
import { count, plural } from "./words.js";

/** States in which the checkpoint that a process tells is not that of the read model. */
const UNKNOWN = ["starting", "absent"];

/** The first changeset of the stream that waits in a projection, if one does. */
async function firstParked(status, stream, signal) {
  if (status.parked_streams === 0) return null;
  const { parked } = await json(`${pathOf(status)}/parked`, { signal });
  return parked.find(({ stream_id: id }) => id === stream)?.first ?? null;
}

/** What a projection did with the changeset at a place: a word, how bad that is, and more about it. */
async function verdict(status, changeset, place, signal) {
  if (UNKNOWN.includes(status.state)) return ["Unknown", "quiet", stateInWords(status)];
  const first = await firstParked(status, changeset.stream_id, signal);
  if (first !== null && Number(changeset.changeset_id) >= first) {
    return ["Parked", "failing", `The stream waits from changeset ${count(first)} on.`];
  }
  if (status.skipped.includes(place)) return ["Skipped", "quiet", "An operator left it out."];
  const places = status.partitions.length > 0 ? status.partitions.map(({ checkpoint }) => checkpoint) : [status.checkpoint];
  if (places.every((checkpoint) => checkpoint > place)) return ["Passed", "good", ""];
  if (places.some((checkpoint) => checkpoint > place)) {
    return ["Perhaps", "quiet", "Some of its partitions have passed it."];
  }
  const standsBefore = status.pause && status.checkpoint === place;
  return standsBefore ? ["Stands before it", "standing", "It is paused here."] : ["Not yet", "busy", `${plural(place - status.checkpoint, "changeset")} before it.`];
}

async function look(changeset, signal) {
  const { stream_id: stream, changeset_id: id } = changeset;
  const place = changeset.checkpoint ?? (await readOne(stream, id, { signal }))?.checkpoint ?? null;
  if (place === null) return h("p", null, "It has no checkpoint yet, so no projection has seen it.");
  const { projections } = await allProjections(signal);
  if (projections.length === 0) return h("p", null, "This process runs no projections.");
  const rows = await Promise.all(projections.map(async (status) => {
    const [word, level, more] = await verdict(status, changeset, Number(place), signal)
      .catch((error) => ["Unknown", "quiet", foreign(error.message)]);
    return { key: pathOf(status), cells: [h("a", { href: pageOf(status) }, status.name), h("span", { class: `mark ${level}` }, word), more] };
  }));
  return table("Projections and this changeset", ["Name", "This changeset", ""], rows);
}

/** Says it when it is opened. */
export function passed(changeset, screen) {
  return has.projections && lazily({}, "Which projections have passed it", screen, (signal) => look(changeset, signal));
}
