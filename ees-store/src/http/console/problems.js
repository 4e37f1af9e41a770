// What stands still, why, and what to do next.

import { pathOf } from "./api.js";
import { foreign, h } from "./dom.js";
import { lags } from "./history.js";
import { line } from "./plot.js";
import { count, duration, plural, since } from "./words.js";

const WINDOW_MILLISECONDS = 60 * 60 * 1000;
const POINTS = 60;
const GROWING_MILLISECONDS = 10_000;
const GROWING_SECONDS = 5;

/** The lag of each projection in the last hour, for its trend. */
const samples = new Map();

export function note(statuses) {
  const now = Date.now();
  for (const status of statuses) {
    const known = samplesOf(status).filter(({ at }) => now - at < WINDOW_MILLISECONDS);
    known.push({ at: now, changesets: status.lag_changesets, seconds: status.lag_seconds });
    samples.set(pathOf(status), known);
  }
}

function samplesOf(status) {
  return samples.get(pathOf(status)) ?? [];
}

/** Adds what the servers remember of the time before this tab looked. */
export function recall(histories) {
  for (const { process, told } of histories) {
    const earlier = Map.groupBy(lags(told), ({ name }) => pathOf({ process, name }));
    for (const [path, known] of earlier) {
      const own = samples.get(path) ?? [];
      const begun = own[0]?.at ?? Infinity;
      samples.set(path, [...known.filter(({ at }) => at < begun), ...own]);
    }
  }
}

/** How the lag went in the last hour, as far as it is known. Nothing where there was none. */
export function trend(status) {
  const known = samplesOf(status);
  const all = known.map(({ seconds }) => seconds);
  if (all.length < 3 || all.every((lag) => lag === 0)) return null;
  const [begun, length] = [known[0].at, Math.max(1, known.at(-1).at - known[0].at)];
  const highest = [];
  for (const { at, seconds } of known) {
    const point = Math.min(POINTS - 1, Math.floor(((at - begun) * POINTS) / length));
    highest[point] = Math.max(highest[point] ?? 0, seconds);
  }
  const label = `Lag over ${duration(length / 1000)}: from ${duration(all[0])} to ${duration(all.at(-1))}, at most ${duration(Math.max(...all))}`;
  return line(highest.filter((value) => value !== undefined), label);
}

/** Whether the lag only grew for some time. */
function isGrowing(status) {
  const known = samplesOf(status);
  const recent = known.filter(({ at }) => Date.now() - at < 3 * GROWING_MILLISECONDS);
  if (recent.length < 3 || recent.at(-1).at - recent[0].at < GROWING_MILLISECONDS) return false;
  const grows = recent.every(({ changesets }, at) => at === 0 || changesets >= recent[at - 1].changesets);
  return grows && recent.at(-1).changesets > recent[0].changesets && status.lag_seconds > GROWING_SECONDS;
}

function changesetOf(failure) {
  return [`changeset ${failure.changeset_id} of stream `, foreign(failure.stream_id, 120), ` (checkpoint ${failure.checkpoint})`];
}

function ofPause(what, checkpoint, pause) {
  const { failure } = pause;
  if (failure) {
    return [`${what} is paused before `, changesetOf(failure), `, which failed ${plural(failure.attempts, "time")}: `,
      foreign(pause.reason), ". Nothing after it is applied. Since ", since(pause.since), ". ",
      "Resume it once the cause is mended. If the changeset can never be applied, skip it."];
  }
  return [`An operator paused ${what.toLowerCase()} at checkpoint ${checkpoint}`, pause.reason && ": ", pause.reason && foreign(pause.reason),
    ". Since ", since(pause.since), "."];
}

/** The stream that waits the longest, of those that are meant: its changeset and its error. */
function firstOf(streams) {
  const [first] = [...streams].sort((one, other) => new Date(one.since) - new Date(other.since));
  if (!first) return null;
  return [streams.length > 1 ? " The oldest: changeset " : " It is changeset ", first.first, " of stream ", foreign(first.stream_id, 120), ": ", foreign(first.error), ".",
    first.retry_at !== null && [" The next try: ", since(first.retry_at), "."]];
}

/**
 * The problems of a projection, the worst first: how bad (`standing` or `failing`), what it is, a sentence, and the
 * names of the operations that are the next steps.
 */
export function problemsOf(status) {
  const found = [];
  const add = (level, title, sentence, next) => found.push({ level, title, sentence, next });
  const skippable = (pause) => (pause.failure && status.kind !== "reactor" ? ["resume", "skip"] : ["resume"]);
  const givenUp = (status.parked ?? []).filter((stream) => stream.retry_at === null);
  const retried = (status.parked ?? []).filter((stream) => stream.retry_at !== null);
  const split = status.partitions.filter(({ pause }) => pause);
  if (status.pause) {
    add("standing", "Paused", ofPause("It", status.checkpoint, status.pause), skippable(status.pause));
  } else if (split.length > 0) {
    const [{ partition, checkpoint, pause }] = split;
    add("standing", "Paused", ofPause(`Partition ${partition}`, checkpoint, pause), skippable(pause));
  }
  if (status.state === "stopped") {
    const message = status.last_error?.message ?? "";
    const why = message && [": ", foreign(message)];
    // Where a rebuild helps, the message says so.
    const next = status.kind === "projection" && message.includes("rebuild the projection") ? ["rebuild"] : [];
    add("standing", "Stopped", ["It can't go on", why, ". It checks again every 10 seconds."], next);
  }
  if (status.given_up_streams > 0) {
    add("standing", "Given up", [`${plural(status.given_up_streams, "stream")} failed for good and will not be retried until you say so.`,
      firstOf(givenUp)], ["retry"]);
  }
  if (status.state === "retrying" && status.last_error) {
    const { attempts, message, checkpoint } = status.last_error;
    const where = checkpoint === null ? "A step" : changesetOf(status.last_error);
    add("failing", "Failing", [where, ` failed ${plural(attempts, "time")}, and is retried: `, foreign(message), "."], []);
  }
  const waiting = status.parked_streams - status.given_up_streams;
  if (waiting > 0) {
    add("failing", "Parked", [`${plural(waiting, "stream")} failed and ${waiting === 1 ? "is" : "are"} retried later; all other streams go on.`,
      firstOf(retried), " Retry once the cause is mended. See why: there, a changeset that can never be applied can be left out."], ["retry"]);
  }
  if (status.standby?.pause) {
    add("failing", "Standby paused", ofPause("The standby", status.standby.checkpoint, status.standby.pause), []);
  } else if (status.standby?.plan.note) {
    add("failing", "Not swapped", ["The standby was not swapped: ", foreign(status.standby.plan.note)], ["swap", "discard"]);
  }
  if (status.stalled && !found.some(({ level }) => level === "standing")) {
    found.unshift({ level: "standing", title: "Stalled", sentence: [foreign(status.stalled), "."], next: [] });
  }
  if (found.length === 0 && isGrowing(status)) {
    add("failing", "Falling behind", [`Its lag grows: ${plural(status.lag_changesets, "changeset")}, ${duration(status.lag_seconds)}.`], []);
  }
  return found;
}

/** The processes that did not answer, and why. */
export function unanswered(answers) {
  return answers.filter(({ error }) => error).map(({ process, error }) => h("p", { class: "problem standing", "data-key": process.url }, foreign(error.message)));
}

const STATES = {
  starting: ["Starting", "quiet", "It has not read its position yet."],
  following: ["Following", "good", "It has applied everything and waits for new changesets."],
  catching_up: ["Catching up", "busy", "It applies changesets and is behind the head of the log."],
  rebuilding: ["Rebuilding", "busy", "It was cleared and replays the log from the start."],
  retrying: ["Retrying", "failing", "A step failed and is retried."],
  absent: ["Absent", "quiet", "The live read model has another version than this program."],
  elsewhere: ["Elsewhere", "quiet", "Another process runs it: see the owner."],
  paused: ["Paused", "standing", "It stands still until an operator resumes it."],
  stopped: ["Stopped", "standing", "It can't go on. It checks again every 10 seconds."],
};

export function stateInWords({ state, parked_streams: parked }) {
  if (state === "following" && parked > 0) return `It has applied everything but ${plural(parked, "parked stream")}, and waits for new changesets.`;
  return STATES[state]?.[2] ?? "";
}

export function stateMark(state) {
  const [label, level] = STATES[state] ?? [state, "quiet"];
  return h("span", { class: `mark ${level}` }, label);
}

export function lag(status) {
  if (status.lag_changesets === 0) return "0";
  return `${count(status.lag_changesets)} · ${duration(status.lag_seconds)}`;
}

export function percent(rebuild) {
  const left = rebuild.seconds_left === null ? "" : `, about ${duration(rebuild.seconds_left)} left`;
  return h("span", { class: "progress" },
    h("progress", { max: "100", value: rebuild.percent, "aria-label": "Progress" }),
    ` ${Math.floor(rebuild.percent)} %${left}`);
}
