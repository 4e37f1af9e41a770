// Every operation on a projection: when it is possible, what it does in a sentence, what it needs, what it sends.

import { may, pathOf, post } from "./api.js";
import { ask } from "./dialog.js";
import { button, foreign } from "./dom.js";
import { tell } from "./screen.js";
import { plural } from "./words.js";

const reason = { name: "reason", label: "Reason", type: "textarea", rows: 2, max: 1024, hint: "Recorded in the audit." };
const mandatory = { ...reason, required: true, hint: "Mandatory. Recorded in the audit." };
const force = { name: "force", type: "checkbox", label: "Force" };
const keepSkips = {
  name: "keep_skips", type: "select", label: "Changesets that were skipped before",
  options: [["", "Leave them out again if the version is the same"], ["true", "Leave them out again"], ["false", "Try them again"]],
};
const workers = { name: "workers", label: "Workers", type: "number", hint: "1 to 256, for the time of the rebuild. Empty: as many as now. More than one needs PostgreSQL and a projection in the order of its streams." };
const workersOf = (given) => (given.workers === null ? {} : { workers: given.workers });
const skipsOf = (given) => (given.keep_skips === "" ? {} : { keep_skips: given.keep_skips === "true" });

const isProjection = (status) => status.kind !== "reactor";
const isPaused = (status) => status.pause !== null || status.partitions.some(({ pause }) => pause !== null);
const pauses = (status) => [status, ...status.partitions].filter(({ pause }) => pause);
const pausedAt = (status) => {
  const [first] = pauses(status);
  return first?.pause.failure?.checkpoint ?? first?.checkpoint ?? status.checkpoint;
};

/** The changeset that failed, in a sentence. */
const blamed = (status) => {
  const failure = pauses(status)[0]?.pause.failure;
  return failure ? [`Checkpoint ${failure.checkpoint} is changeset ${failure.changeset_id} of stream `, foreign(failure.stream_id, 120), ". "] : [];
};

const OPERATIONS = {
  resume: {
    label: "Resume",
    isPossible: isPaused,
    sentence: ({ name }) => `${name} goes on where it paused, and tries again what failed.`,
    fields: () => [reason],
  },
  pause: {
    label: "Pause",
    isPossible: (status) => !isPaused(status) && status.state !== "stopped",
    sentence: ({ name, kind }) => `${name} stops before its next changeset and stays paused, over restarts too, until it is resumed. `
      + (kind === "reactor" ? "It acts on nothing meanwhile." : "Readers still see its read model, which falls behind."),
    fields: () => [reason],
  },
  skip: {
    label: "Skip a changeset",
    isDangerous: true,
    isPossible: (status) => isProjection(status) && isPaused(status),
    sentence: (status) => [`${status.name} leaves out one whole changeset for good, so its read model will lack what the changeset says. `,
      blamed(status), "A rebuild leaves it out again, unless it is told to try it."],
    fields: (status) => [{ name: "checkpoint", label: "Checkpoint", type: "number", required: true, value: String(pausedAt(status)) }, mandatory],
  },
  retry: {
    label: "Retry parked streams",
    isLong: true,
    isPossible: (status) => status.parked_streams > 0,
    sentence: ({ name, parked_streams: parked }) => `${name} tries all parked streams (${parked}) again now, also those that were given up.`,
    fields: () => [reason],
  },
  rebuild: {
    label: "Rebuild in place",
    isDangerous: true,
    isLong: true,
    isPossible: isProjection,
    sentence: ({ name }) => `${name} clears its read model and replays the log from the start. Readers see it empty first, and then grow.`,
    fields: () => [keepSkips, workers, { ...force, hint: "Also when columns or triggers that others added can't be made again." }, reason],
    body: (given) => ({ force: given.force, reason: given.reason, ...skipsOf(given), ...workersOf(given) }),
  },
  side_by_side: {
    label: "Rebuild side by side",
    path: "rebuild",
    isLong: true,
    isPossible: (status) => isProjection(status) && !status.standby,
    sentence: ({ name }) => `${name} gets a second read model, built from the start of the log. Readers use the present one until the two are swapped. `
      + "This needs PostgreSQL, SQLite or DynamoDB, and as much space again.",
    fields: () => [
      { name: "verify", type: "checkbox", label: "Compare before the swap", hint: "Does not swap if the two differ." },
      { name: "no_swap", type: "checkbox", label: "Do not swap", hint: "Builds only; swap it later." },
      { ...force, hint: "Swaps even if streams are parked." },
      keepSkips,
      workers,
      reason,
    ],
    body: (given) => ({
      side_by_side: true, verify: given.verify, no_swap: given.no_swap, force: given.force, reason: given.reason,
      ...skipsOf(given), ...workersOf(given),
    }),
  },
  rebuild_streams: {
    label: "Rebuild streams",
    path: "rebuild-streams",
    isPossible: isProjection,
    sentence: ({ name }) => `${name} replays some streams and replaces their rows where they differ, in one transaction, while it goes on. `
      + "This needs a fold whose rows are each made of one stream.",
    fields: () => [
      { name: "streams", label: "Streams", type: "textarea", rows: 3, required: true, hint: "An id on each line, 1,000 at most." },
      { name: "dry_run", type: "checkbox", label: "Only look", hint: "Says how many rows differ, and changes none." },
      reason,
    ],
    body: (given) => ({ ...given, streams: given.streams.split("\n").filter((line) => line !== "") }),
    outcome: ({ dry_run: isDry, streams, added, removed, changed, unchanged }) =>
      `${plural(streams, "stream")}, ${isDry ? "nothing written" : "mended"}: ${plural(added, "row")} missing, ${removed} too many, ${changed} wrong, ${unchanged} right.`,
  },
  verification: {
    label: "Verify",
    isLong: true,
    isPossible: isProjection,
    sentence: ({ name }) => `${name} is built once more beside the live read model, compared with it, and removed again. `
      + "Nothing changes for readers. This needs PostgreSQL, SQLite or DynamoDB.",
    fields: () => [],
    body: () => ({}),
  },
  swap: {
    label: "Swap",
    isDangerous: true,
    isPossible: (status) => status.standby?.plan.role === "building",
    sentence: ({ name }) => `The standby of ${name} becomes the read model that readers use. The one that they use now becomes the standby, and follows for a rollback.`,
    fields: () => [{ ...force, hint: "Even if streams are parked, or the standby is still catching up." }, reason],
  },
  rollback: {
    label: "Roll back",
    isDangerous: true,
    isPossible: (status) => status.standby?.plan.role === "following",
    sentence: ({ name }) => `The read model of ${name} that was live before becomes live again. It has followed, so nothing is lost.`,
    fields: () => [{ ...force, hint: "Even if streams are parked, or it is still catching up." }, reason],
  },
  discard: {
    label: "Discard the standby",
    isDangerous: true,
    isPossible: (status) => Boolean(status.standby),
    sentence: ({ name }) => `The standby of ${name} is deleted. The live read model stays as it is. There is no rollback afterwards.`,
    fields: () => [reason],
  },
  partitions: {
    label: "Partition",
    isPossible: isProjection,
    sentence: ({ name }) => `The streams of ${name} are split into this many partitions, which several workers apply at the same time. Nothing is rebuilt. This needs PostgreSQL.`,
    fields: (status) => [
      { name: "count", label: "Partitions", type: "number", required: true, value: String(Math.max(1, status.partitions.length)), hint: "1 to 256." },
      reason,
    ],
  },
  checkpoint: {
    label: "Move the checkpoint",
    isDangerous: true,
    isPossible: () => true,
    sentence: ({ name }) => `${name} goes on at another checkpoint, with its tables as they are: what lies between is left out, or applied a second time.`,
    fields: (status) => [
      { name: "from", label: "From checkpoint", type: "number", required: true, value: String(status.checkpoint) },
      { name: "to", label: "To checkpoint", type: "number", required: true, value: "" },
      mandatory,
    ],
  },
};

/** A dialog for an operation that sends its fields. `about` replaces what the operation says by itself. */
export async function operate(status, operation, about = {}) {
  const { label, path, isDangerous, isLong, sentence, fields, body, outcome } = { ...OPERATIONS[operation], ...about };
  let answer;
  const isDone = await ask({
    title: `${label}: ${status.name}`,
    sentence: sentence(status),
    fields: fields(status),
    confirm: `${label}: ${status.name}`,
    isDangerous,
    run: async (given) => {
      answer = await post(`${pathOf(status)}/${path ?? operation}`, body ? body(given) : given);
    },
  });
  const result = outcome && isDone ? ` ${outcome(answer)}` : "";
  if (isDone) tell(`${isLong ? "Begun" : "Done"}: ${label.toLowerCase()}, ${status.name}.${result}`);
  return isDone;
}

/** Buttons for these operations, as far as they are possible and the key may do them. */
export function buttons(status, names, onDone) {
  if (!may("admin", status.process)) return [];
  const possible = names.filter((name) => OPERATIONS[name].isPossible(status));
  return possible.map((name) => {
    const { label, isDangerous } = OPERATIONS[name];
    const act = async () => {
      if (await operate(status, name)) onDone();
    };
    return rowButton(label, status.name, act, { "data-key": name, "data-operation": name, class: isDangerous ? "careful" : null });
  });
}

/** A button that opens a dialog. It stands beside others of its kind: its name says what it is about. */
export function rowButton(label, about, act, attributes) {
  return button(`${label}…`, act, { "aria-label": `${label}: ${shortened(about)}`, ...attributes });
}

/** All operations, those that stand for a next step first. */
export const EVERY = Object.keys(OPERATIONS);

/** The operations on one parked stream of a projection. */
export const ofParked = {
  retry: (stream) => ({
    label: "Retry now",
    path: "retry",
    sentence: ({ name }) => `${name} tries the stream “${shortened(stream.stream_id)}” again now, from its changeset ${stream.first} on.`,
    fields: () => [reason],
    body: (given) => ({ stream_id: stream.stream_id, reason: given.reason }),
  }),
  skip: (stream, { checkpoint = "", why }) => ({
    label: "Skip the changeset",
    path: "skip",
    isDangerous: true,
    sentence: ({ name }) => `${name} leaves out changeset ${stream.first} of the stream “${shortened(stream.stream_id)}” for good and goes on with the next one.`,
    fields: () => [{
      name: "checkpoint", label: "Checkpoint", type: "number", required: true, value: checkpoint,
      hint: why && `That of changeset ${stream.first}. It could not be read: ${why}`,
    }, mandatory],
  }),
  discard: (stream) => ({
    label: "Discard the effects",
    path: "effects/discard",
    isDangerous: true,
    sentence: ({ name }) => `${name} gives up the open effects of changeset ${stream.first} of the stream “${shortened(stream.stream_id)}” for good: `
      + "what is not done by now is never done. The stream goes on.",
    fields: () => [mandatory],
    body: (given) => ({ stream_id: stream.stream_id, changeset_id: stream.first, reason: given.reason }),
  }),
};

/** The operation on a timer of a reactor. */
export function ofTimer(timer) {
  return {
    label: "Cancel the timer",
    path: "timers/cancel",
    isDangerous: true,
    sentence: ({ name }) => `${name} forgets the timer “${shortened(timer.key)}” of the stream “${shortened(timer.stream_id)}” for good.`,
    fields: () => [mandatory],
    body: (given) => ({ stream_id: timer.stream_id, key: timer.key, reason: given.reason }),
  };
}

function shortened(id) {
  return id.length > 80 ? `${id.slice(0, 80)}…` : id;
}
