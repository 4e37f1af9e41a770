// The last hour, from the samples that the server keeps.

import { jsonIfAny, processes } from "./api.js";
import { card, h } from "./dom.js";
import { plot } from "./plot.js";
import { bytes, count, duration, rate } from "./words.js";

const CONFLICT = "OPTIMISTIC_CONCURRENCY_EXCEPTION";

/** Reads the history of a process, and again when there are new samples. `null` where it keeps none. */
export function reader(process, query = {}) {
  let told = null;
  let isFresh = () => false;
  return async (signal) => {
    if (isFresh()) return told;
    told = await jsonIfAny(`${process.at}history?${new URLSearchParams(query)}`, { signal }).catch(() => null);
    const read = Date.now();
    isFresh = () => Date.now() - read < 1000 * (told?.interval_seconds ?? 60);
    return told;
  };
}

/** Reads the histories of all processes, each with its process. */
export function readerOfAll(query) {
  const readers = processes.map((process) => ({ process, read: reader(process, query) }));
  return (signal) => Promise.all(readers.map(async ({ process, read }) => ({ process, told: await read(signal) })));
}

function all(told, metric, isWanted = () => true) {
  return told.series.filter((series) => series.metric === metric && isWanted(series.of));
}

/** The values of several series put together, time for time; `null` where none has a value. */
function together(series, put) {
  return series[0]?.values.map((_, at) => {
    const values = series.map(({ values: of }) => of[at]).filter((value) => value !== null);
    return values.length > 0 ? put(values) : null;
  }) ?? [];
}

const total = (values) => values.reduce((sum, value) => sum + value, 0);

/** How much values that only grow have grown, each second. */
function perSecond({ times }, values) {
  return values.map((value, at) => {
    const before = values[at - 1];
    if (at === 0 || value === null || before === null || value < before) return null;
    return (1000 * (value - before)) / Math.max(1, new Date(times[at]) - new Date(times[at - 1]));
  });
}

function show(title, plots) {
  const shown = plots.filter(Boolean);
  return shown.length > 0 && card(title, { id: "history" }, h("div", { class: "plots" }, shown));
}

/** The plots of the overview: of the first process, which has the log. */
export function plotsOfServer([{ told }]) {
  if (told === null) return null;
  const { times } = told;
  const sum = (metric, isWanted) => together(all(told, metric, isWanted), total);
  const highest = (metric) => together(all(told, metric), (values) => Math.max(...values));
  const of = (title, values, inWords) => plot(title, times, values, inWords);
  const isRefused = (code) => code !== "OK" && code !== CONFLICT;
  return show("The last hour", [
    of("Commits", perSecond(told, sum("ees_commits_total", (code) => code === "OK")), rate),
    of("Events", perSecond(told, sum("ees_committed_events_total")), rate),
    of("Conflicts", perSecond(told, sum("ees_commits_total", (code) => code === CONFLICT)), rate),
    of("Commits that were refused", perSecond(told, sum("ees_commits_total", isRefused)), rate),
    of("Requests", perSecond(told, sum("ees_http_request_duration_seconds_count")), rate),
    of("Requests that failed (5xx)", perSecond(told, sum("ees_http_request_duration_seconds_count", (status) => status === "5xx")), rate),
    of("Highest lag", highest("ees_projection_lag_seconds"), duration),
    of("Parked streams", sum("ees_projection_parked_streams"), count),
    of("Streams whose effects wait", sum("ees_reactor_waiting_streams"), count),
    of("Head of the log", sum("ees_log_head"), count),
    of("Size of the log", sum("ees_log_bytes"), bytes),
  ]);
}

/** The plots of the page of one projection, whose history was asked for. */
export function plotsOfProjection(told) {
  if (told === null) return null;
  const of = (title, metric, inWords, turn = (values) => values) => plot(title, told.times, turn(together(all(told, metric), total)), inWords);
  return show("The last hour", [
    of("Lag", "ees_projection_lag_seconds", duration),
    of("Lag in changesets", "ees_projection_lag_changesets", count),
    of("Changesets applied", "ees_projection_checkpoint", rate, (values) => perSecond(told, values)),
    of("Parked streams", "ees_projection_parked_streams", count),
  ]);
}

/** The lag of each projection at each time: its name, the time in milliseconds, seconds and changesets. */
export function lags(told) {
  if (told === null) return [];
  const seconds = new Map(all(told, "ees_projection_lag_seconds").map(({ of, values }) => [of, values]));
  return all(told, "ees_projection_lag_changesets").flatMap(({ of: name, values }) => told.times.map((time, at) => ({
    name, at: new Date(time).getTime(), changesets: values[at], seconds: seconds.get(name)?.[at] ?? null,
  }))).filter((sample) => sample.changesets !== null && sample.seconds !== null);
}
