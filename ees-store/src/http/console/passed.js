// Which projections and reactors have passed a changeset.

import { allProjections, has, json, pathOf, text } from "./api.js";
import { details, draw, foreign, h, table } from "./dom.js";
import { members } from "./json.js";
import { pageOf } from "./overview.js";
import { count, plural } from "./words.js";

/** The checkpoint of a changeset: that of the page which ends with it. `null` while it has none. */
async function checkpointOf({ checkpoint, stream_id: stream, changeset_id: id }) {
  if (checkpoint !== null) return checkpoint;
  const answer = await text(`streams/${encodeURIComponent(stream)}/changesets?from=${id}&to=${id}&include=position`);
  return members(answer).find(([name]) => name === "last_checkpoint")?.[1] ?? null;
}

/** The first changeset of the stream that waits in a projection, if one does. */
async function firstParked(status, stream) {
  if (status.parked_streams === 0) return null;
  const { parked } = await json(`${pathOf(status)}/parked`);
  return parked.find(({ stream_id: id }) => id === stream)?.first ?? null;
}

/** What a projection did with the changeset at a place: a word, how bad that is, and more about it. */
async function verdict(status, changeset, place) {
  const first = await firstParked(status, changeset.stream_id);
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

async function look(changeset) {
  const place = await checkpointOf(changeset);
  if (place === null) return h("p", null, "It has no checkpoint yet, so no projection has seen it.");
  const { projections } = await allProjections();
  if (projections.length === 0) return h("p", null, "This process runs no projections.");
  const rows = await Promise.all(projections.map(async (status) => {
    const [word, level, more] = await verdict(status, changeset, Number(place));
    return { key: pathOf(status), cells: [h("a", { href: pageOf(status) }, status.name), h("span", { class: `mark ${level}` }, word), more] };
  }));
  return table("Projections and this changeset", ["Name", "This changeset", ""], rows);
}

/** Says it when it is opened. */
export function passed(changeset) {
  if (!has.projections) return null;
  return details({ class: "lazy" }, "Which projections have passed it", () => {
    const place = h("div", { role: "status" }, "Loading …");
    look(changeset).then((shown) => draw(place, shown), (error) => draw(place, foreign(error.message)));
    return place;
  });
}
