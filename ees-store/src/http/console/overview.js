// The overview: what stands still first, then everything.

import { allProjections, has, head as headOfLog, health, jsonIfAny, pathOf, processes } from "./api.js";
import { card, draw, foreign, h, table } from "./dom.js";
import { plotsOfServers, readerOfAll } from "./history.js";
import { buttons } from "./operations.js";
import { lag, note, percent, problemsOf, recall, stateMark, trend } from "./problems.js";
import { poll } from "./screen.js";
import { count, duration, plural, rate } from "./words.js";

const PARKED_MILLISECONDS = 10_000;
const LEVELS = ["standing", "failing"];

/** The head of the log at earlier looks, for the rate of commits. */
let heads = [];

export function show(root, _, signal) {
  const history = readerOfAll();
  const waiting = parkedStreams();
  return poll(signal, async (again) => {
    const past = history(signal);
    // What can't be read is a problem of its server. Everything else is shown all the same.
    const refused = [];
    const ifAny = (answer) => answer.catch((error) => {
      refused.push({ process: processes[0], error });
      return null;
    });
    const [{ projections, silent }, totals, head, ready] = await Promise.all([
      has.projections ? allProjections(signal) : { projections: [], silent: [] },
      has.log ? ifAny(jsonIfAny("streams", { signal })) : null,
      has.log ? ifAny(headOfLog(signal)) : null,
      Promise.all(processes.map(async (process) => ({ process, ready: await health(process, signal) }))),
    ]);
    recall(await past);
    note(projections);
    await waiting(projections, signal);
    draw(root, h("h1", { tabindex: "-1" }, "Overview"), standing(projections, ofServers(ready, [...silent, ...refused]), again),
      figures(totals, head, oldestOf(projections)), plotsOfServers(await past), grid(projections));
  });
}

/** Problems that are not a projection's, as the server's readiness has them. */
function ofServer(ready) {
  if (ready?.status === "unavailable") return [ready.reason];
  return (ready?.reasons ?? []).filter((reason) => !reason.startsWith("projection \""));
}

/** The problems of all processes, each once and with its process. */
function ofServers(ready, failed) {
  const found = [
    ...failed.map(({ process, error }) => ({ process, reason: error.message })),
    ...ready.flatMap(({ process, ready: answer }) => ofServer(answer).map((reason) => ({ process, reason }))),
  ];
  return [...new Map(found.map((problem) => [`${problem.process.url} ${problem.reason}`, problem])).values()];
}

function standing(projections, server, again) {
  const found = projections.flatMap((status) => problemsOf(status).map((problem) => ({ status, ...problem })));
  found.sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level) || byLag(one.status, other.status));
  if (found.length + server.length === 0) {
    return card("What needs attention", { class: "card calm" }, h("p", { class: "good-news" }, "Nothing. Everything moves."));
  }
  return card(`What needs attention (${found.length + server.length})`, { id: "attention" },
    h("ul", { class: "problems" },
      server.map(({ process, reason }) => h("li", { class: "problem standing", "data-key": `${process.url} ${reason}` },
        h("h3", null, h("span", { class: "mark standing" }, "Server"), " ", processes.length > 1 && foreign(process.url, 80)), h("p", null, foreign(reason)))),
      found.map(({ status, level, title, sentence, next }) => h("li", { class: `problem ${level}`, "data-key": `${status.name} ${title}${status.process.at}` },
        h("h3", null, h("span", { class: `mark ${level}` }, title), " ", h("a", { href: pageOf(status) }, status.name), inProcess(status)),
        h("p", null, sentence),
        h("div", { class: "actions" }, buttons(status, next, again), h("a", { class: "button", href: pageOf(status), "aria-label": `See why: ${status.name}` }, "See why"))))));
}

function byLag(one, other) {
  return other.lag_changesets - one.lag_changesets;
}

/** The process that runs it, where there are several. */
function inProcess({ process }) {
  return processes.length > 1 && h("small", null, " in ", foreign(process.url, 80));
}

export function pageOf({ kind, name, process }) {
  const at = processes.indexOf(process);
  return `#/${kind === "reactor" ? "reactors" : "projections"}/${name}${at > 0 ? `?process=${at}` : ""}`;
}

/** Adds to each projection the streams that are parked in it, as far as they can be read. Looks now and then. */
function parkedStreams() {
  const known = new Map();
  return (projections, signal) => Promise.all(projections.filter((status) => status.parked_streams > 0).map(async (status) => {
    const path = pathOf(status);
    const { at, count: before } = known.get(path) ?? {};
    if (before !== status.parked_streams || Date.now() - at > PARKED_MILLISECONDS) {
      const list = await jsonIfAny(`${path}/parked`, { signal }).catch(() => null);
      known.set(path, { at: Date.now(), count: status.parked_streams, parked: list?.parked ?? [] });
    }
    status.parked = known.get(path).parked;
  }));
}

/** Since when a stream is parked, in milliseconds. `null`: none is. */
function oldestOf(projections) {
  const times = projections.flatMap(({ parked = [] }) => parked).map(({ since }) => new Date(since).getTime());
  return times.length > 0 ? Math.min(...times) : null;
}

function figures(totals, head, parkedSince) {
  const figure = (value, label) => value !== null && h("div", { class: "figure" }, h("strong", null, value), h("span", null, label));
  const shown = [
    head !== null && figure(count(head), "head of the log"),
    head !== null && figure(commitRate(head), "commits"),
    totals && figure(count(totals.total_streams), "streams"),
    totals && figure(count(totals.total_changesets), "changesets"),
    totals && figure(count(totals.total_events), "events"),
    parkedSince !== null && figure(duration((Date.now() - parkedSince) / 1000), "oldest parked stream"),
  ];
  return shown.some(Boolean) && h("section", { class: "figures", "aria-label": "The log" }, shown);
}

function commitRate(head) {
  const now = Date.now();
  heads = [...heads.filter(({ at }) => now - at < 15_000), { at: now, head }];
  const [first] = heads;
  return now - first.at < 1500 ? "…" : rate(((head - first.head) * 1000) / (now - first.at));
}

/** All projections, those that stand still first. */
export function grid(projections, title = "Projections and reactors") {
  if (projections.length === 0) return null;
  const worst = (status) => (problemsOf(status).some(({ level }) => level === "standing") ? 0 : problemsOf(status).length > 0 ? 1 : 2);
  const sorted = [...projections].sort((one, other) => worst(one) - worst(other) || byLag(one, other));
  const columns = ["Name", "State", "Checkpoint", "Lag", "Rate", "Parked", "Version", "Owner", processes.length > 1 && "Process"].filter(Boolean);
  const rows = sorted.map((status) => ({
    key: `${status.name}${status.process.at}`,
    cells: [
      h("a", { href: pageOf(status) }, status.name),
      [stateMark(status.state), status.rebuild && percent(status.rebuild), status.standby && h("span", { class: "mark quiet" }, "Standby")],
      count(status.checkpoint), [trend(status), " ", lag(status)], rate(status.rate),
      status.parked_streams > 0 ? count(status.parked_streams) : "",
      status.kind === "reactor" ? "reactor" : String(status.version),
      [status.owner && foreign(status.owner, 40), status.partitions.length > 1 && plural(status.partitions.length, "partition")],
      ...(processes.length > 1 ? [foreign(status.process.url, 60)] : []),
    ],
  }));
  return card(title, null, table(title, columns, rows, [2, 3, 4, 5]));
}
