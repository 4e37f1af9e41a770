// The grid of projections, and the page of one: what it does, why it stands still, and every operation.

import { allProjections, has, json, jsonIfAny, may, pathOf, processes, text } from "./api.js";
import * as audits from "./audit.js";
import { streamLink, logLink, view } from "./changeset.js";
import { button, card, draw, facts, foreign, h, lazily, table } from "./dom.js";
import { effectsIn, ledger } from "./effects.js";
import { explainer } from "./explain.js";
import { plotsOfProjection, reader, readerOfAll } from "./history.js";
import { buttons, EVERY, ofParked, operate, rowButton } from "./operations.js";
import { grid } from "./overview.js";
import { lag, note, percent, problemsOf, recall, stateInWords, stateMark, trend, unanswered } from "./problems.js";
import { readOne, readPage } from "./reading.js";
import { poll } from "./screen.js";
import { timersIn, timetable } from "./timers.js";
import { bytes, count, duration, plural, rate, since, time } from "./words.js";

const SHOWN_PARKED = 200;
const SHOWN_EFFECTS = 200;
const SHOWN_TIMERS = 200;
const LATE_MILLISECONDS = 1000;
/** What the trends of a list need of the history. */
const LAGS = [["metric", "ees_projection_lag_seconds"], ["metric", "ees_projection_lag_changesets"]];

export function show(root, { id, query }, signal) {
  return id === null ? list(root, "projection", signal) : page(root, id, query, signal);
}

export function list(root, kind, signal) {
  const title = kind === "reactor" ? "Reactors" : "Projections";
  const history = readerOfAll(LAGS);
  return poll(signal, async () => {
    const past = history(signal);
    const { projections, silent } = await allProjections(signal);
    recall(await past);
    note(projections);
    const shown = projections.filter((status) => status.kind === kind);
    draw(root, h("h1", { tabindex: "-1" }, title),
      unanswered(silent),
      grid(shown, title) ?? card(title, null, h("p", null, `This process runs no ${title.toLowerCase()}.`)));
  });
}

/** The page of a projection or a reactor. */
export function page(root, name, query, signal) {
  const process = processes[query.get("process") ?? 0] ?? processes[0];
  const path = pathOf({ process, name });
  const shown = { ...audits.atFirst(), effects: "", results: false, payloads: false };
  const part = parts();
  const history = reader(process, [["of", name]]);
  return poll(signal, async (again) => {
    const found = await jsonIfAny(path, { signal });
    const status = { ...found, process };
    if (found === null) {
      draw(root, h("h1", { tabindex: "-1" }, foreign(name)), card("Not found", null, h("p", null, "This process runs no projection with this name. "), h("a", { href: "#/projections" }, "All projections")));
      return;
    }
    const past = history(signal);
    const isReactor = status.kind === "reactor";
    const [parked, audit, verification, effects, timers] = await Promise.all([
      part("parked", async () => (status.parked_streams > 0 ? (await json(`${path}/parked`, { signal })).parked : [])),
      part(`audit ${shown.auditLength}`, () => json(`${path}/audit?${audits.query(shown)}`, { signal })),
      part("verification", async () => (isReactor ? null : jsonIfAny(`${path}/verification`, { signal }))),
      part(`effects ${shown.effects}`, async () => (isReactor ? effectsIn(await text(`${path}/effects?limit=${SHOWN_EFFECTS}${shown.effects && `&state=${shown.effects}`}`, { signal })) : null)),
      part("timers", async () => (isReactor ? timersIn(await text(`${path}/timers?limit=${SHOWN_TIMERS}`, { signal })) : null)),
    ]);
    recall([{ process, told: await past }]);
    note([status]);
    status.parked = parked.value;
    draw(root,
      h("h1", { tabindex: "-1" }, status.name, " ", stateMark(status.state)),
      h("p", { class: "lead" }, stateInWords(status)),
      problems(status, again),
      numbers(status),
      plotsOfProjection({ process, told: await past }),
      failure(status, signal),
      orWhy(parked, "Parked streams", (streams) => parkedStreams(status, streams, again, signal)),
      isReactor && orWhy(effects, "Effects", (all) => ledger(status, all, SHOWN_EFFECTS, shown, again)),
      isReactor && orWhy(timers, "Timers", (all) => timetable(status, all, SHOWN_TIMERS, shown, again)),
      standby(status),
      partitions(status),
      orWhy(verification, "Verification", verified),
      !isReactor && explainer(path, signal),
      operations(status, path, again),
      orWhy(audit, "Audit", (entries) => audits.timeline(entries, shown, again)));
  });
}

/**
 * Loads what the database of a projection has. It may be away or busy, which is when somebody looks at the page: so the
 * rest of it is shown all the same, and a part that is late once it is there.
 */
function parts() {
  const known = {};
  const loading = {};
  return async (name, load) => {
    loading[name] ??= load()
      .then((value) => ({ value }), (error) => ({ error }))
      .then((loaded) => {
        known[name] = loaded;
        delete loading[name];
      });
    await Promise.race([loading[name], new Promise((resolve) => setTimeout(resolve, LATE_MILLISECONDS))]);
    return known[name] ?? {};
  };
}

function orWhy({ value, error }, title, view) {
  if (value !== undefined) return view(value);
  return card(title, null, h("p", null, error ? ["It can't be read: ", foreign(error.message)] : "Loading …"));
}

function problems(status, again) {
  const found = problemsOf(status);
  return found.length > 0 && card("What needs attention", null, h("ul", { class: "problems" },
    found.map(({ level, title, sentence, next }) => h("li", { class: `problem ${level}`, "data-key": title },
      h("h3", null, h("span", { class: `mark ${level}` }, title)),
      h("p", null, sentence),
      h("div", { class: "actions" }, buttons(status, next, again))))));
}

function numbers(status) {
  const { events, effects } = status;
  return card("Status", null, facts([
    ["Checkpoint", has.log ? logLink(String(status.checkpoint)) : count(status.checkpoint)],
    ["Head of the log", count(status.head)],
    ["Process", processes.length > 1 && foreign(status.process.url)],
    ["Lag", [lag(status), " ", trend(status)]],
    ["Rate", rate(status.rate)],
    ["Rebuild", status.rebuild && percent(status.rebuild)],
    ["Version", status.kind === "projection" && String(status.version)],
    ["Owner", status.owner && foreign(status.owner)],
    ["Fingerprint of the rows", status.fingerprint && foreign(status.fingerprint)],
    ["Events applied", count(events.recognized)],
    ["Events of others", count(events.passed_over)],
    ["Unreadable events", events.unreadable > 0 && count(events.unreadable)],
    ["Effects done", effects && count(effects.done)],
    ["Attempts that failed", effects && effects.failed > 0 && count(effects.failed)],
    ["Skipped", status.skipped.length > 0 && status.skipped.map((checkpoint) => [has.log ? logLink(String(checkpoint)) : checkpoint, " "])],
  ]));
}

/** The changeset that is to blame, and its error. */
function failure(status, signal) {
  const { last_error: error } = status;
  const paused = [status, ...status.partitions].find(({ pause }) => pause?.failure)?.pause;
  if (!error && !paused) return null;
  const at = error?.checkpoint ?? paused?.failure.checkpoint ?? null;
  return card("The last error", { id: "last-error" },
    h("p", { class: "error-text" }, foreign(error?.message ?? paused.reason, 2000)),
    facts([
      ["When", since(error?.at ?? paused.since)],
      ["Attempts", count(error?.attempts ?? paused.failure.attempts)],
    ]),
    at !== null && has.log && lazily({ "data-key": `changeset ${at}`, open: true }, "The changeset and its events", signal, async (reading) => {
      const { changesets } = readPage(await text(`changesets?checkpoint=${at}&limit=1&include=position`, { signal: reading }));
      return shownOne(changesets.find(({ checkpoint }) => checkpoint === String(at)));
    }));
}

/** The checkpoint of the changeset that a parked stream waits at, or why it is not known. */
async function checkpointOf({ stream_id: stream, first }) {
  if (!has.log) return { why: "This process has no log." };
  try {
    const checkpoint = (await readOne(stream, first))?.checkpoint ?? null;
    return checkpoint === null ? { why: "It has no checkpoint yet." } : { checkpoint };
  } catch (error) {
    return { why: error.message };
  }
}

/** A changeset, if it is there. */
function shownOne(changeset) {
  return changeset ? view(changeset) : "It is not there.";
}

function parkedStreams(status, parked, again, signal) {
  if (parked.length === 0) return null;
  const isReactor = status.kind === "reactor";
  const act = (stream, operation) => async () => {
    const place = operation === "skip" ? await checkpointOf(stream) : null;
    if (await operate(status, operation, ofParked[operation](stream, place))) again();
  };
  const rows = parked.slice(0, SHOWN_PARKED).map((stream) => ({
    key: `${stream.first} ${stream.stream_id}`,
    cells: [
      h("div", null, has.log ? streamLink(stream.stream_id) : foreign(stream.stream_id, 120),
        has.log && lazily({ "data-key": `first ${stream.first}` }, `Changeset ${stream.first}`, signal,
          async (reading) => shownOne(await readOne(stream.stream_id, stream.first, { signal: reading })))),
      count(stream.changesets),
      [foreign(stream.error), h("br"), h("small", null, plural(stream.attempts, "attempt"))],
      since(stream.since),
      stream.retry_at === null ? h("span", { class: "mark standing" }, "Given up") : since(stream.retry_at),
      may("admin", status.process) && h("div", { class: "actions" },
        rowButton("Retry now", stream.stream_id, act(stream, "retry"), { "data-operation": "retry_stream" }),
        rowButton(isReactor ? "Discard" : "Skip", stream.stream_id, act(stream, isReactor ? "discard" : "skip"), { class: "careful", "data-operation": "leave_stream" })),
    ],
  }));
  const title = `Parked streams (${count(parked.length)})`;
  return card(title, { id: "parked" }, table(title, ["Stream", "Changesets", "Error", "Since", "Next try", "Actions"], rows, [1]),
    parked.length > SHOWN_PARKED && h("p", null, `The first ${SHOWN_PARKED}.`));
}

function standby(status) {
  const { standby } = status;
  return standby && card("Standby", { id: "standby" },
    facts([
      ["Role", standby.plan.role === "building" ? "Built beside the live read model" : "Was live before; follows for a rollback"],
      ["State", stateMark(standby.state)],
      ["Checkpoint", count(standby.checkpoint)],
      ["Rate", rate(standby.rate)],
      ["Progress", standby.rebuild && percent(standby.rebuild)],
      ["Version", String(standby.version)],
      ["Swap", standby.plan.role === "building" && (standby.plan.swap ? (standby.plan.verify ? "when it has caught up and is equal" : "when it has caught up") : "when an operator says so")],
      ["Note", standby.plan.note && foreign(standby.plan.note)],
      ["A swap leaves behind", standby.plan.left_behind?.length > 0 && h("ul", null, standby.plan.left_behind.map((what) => h("li", null, foreign(what))))],
      ["Last error", standby.last_error && foreign(standby.last_error.message)],
      ["Paused", standby.pause && foreign(standby.pause.reason)],
      ["Owner", standby.owner && foreign(standby.owner)],
    ]));
}

function partitions(status) {
  if (status.partitions.length === 0) return null;
  const rows = status.partitions.map(({ partition, checkpoint, owner, pause }) => ({
    key: String(partition),
    cells: [String(partition), count(checkpoint), owner && foreign(owner), pause && [stateMark("paused"), " ", foreign(pause.reason)]],
  }));
  return card("Partitions", null, table("Partitions", ["Partition", "Checkpoint", "Owner", "Paused"], rows, [0, 1]));
}

function verified(verification) {
  if (!verification) return null;
  if (verification.state === "building") {
    return card("Verification", null, h("p", null, `The copy is at checkpoint ${count(verification.checkpoint)}. `, verification.rebuild && percent(verification.rebuild)));
  }
  if (verification.state === "failed") {
    return card("Verification", null, h("p", { class: "error-text" }, "It failed: ", foreign(verification.error)));
  }
  const { checkpoint, rows, differences, parked_streams: parked } = verification.comparison;
  const result = differences.length === 0 ? "Both read models are equal." : `${plural(differences.length, "difference")}${differences.length === 100 ? " or more" : ""}:`;
  return card("Verification", null,
    h("p", null, `${plural(rows, "row")} compared at checkpoint ${count(checkpoint)}. ${result}`),
    parked > 0 && h("p", null, `${plural(parked, "parked stream")}: their rows may differ.`),
    differences.length > 0 && table("Differences", ["Difference"], differences.map((difference) => ({ key: difference.slice(0, 200), cells: [foreign(difference)] }))));
}

function operations(status, path, again) {
  if (!may("admin", status.process)) return null;
  const asking = (label, question, inWords) => button(label, async (event) => {
    const place = event.target.closest("section").querySelector("output");
    place.textContent = "Measuring …";
    try {
      place.textContent = inWords(await json(`${path}/${question}`));
    } catch (error) {
      place.textContent = error.message;
    }
  });
  return card("Operations", { id: "operations" },
    h("div", { class: "actions" },
      buttons(status, EVERY, again),
      status.kind === "projection" && asking("Estimate a rebuild", "estimate", estimated),
      status.fingerprint && asking("Verify quickly", "fingerprint", compared)),
    h("output", { "data-keep": "" }));
}

function compared({ rows, kept, found }) {
  const result = kept === found
    ? "are those that the projection has written"
    : `are not those that the projection has written: their fingerprint is ${found}, not ${kept}. Verify, to see in what they differ`;
  return `The ${plural(rows, "row")} ${result}.`;
}

function estimated({ changesets, seconds, rate: perSecond, read_model_bytes: size }) {
  const takes = seconds === null ? "" : ` takes about ${duration(seconds)} at ${rate(perSecond)}`;
  return `A rebuild of ${plural(changesets, "changeset")}${takes}.${size === null ? "" : ` The read model has ${bytes(size)}.`}`;
}
