// The public API of the server that the page comes from, or of the servers that `ees console` was given. The key
// stays in this module, so it is gone with the tab.

import { ask } from "./dialog.js";
import { items, members } from "./json.js";

const RETRY_MILLISECONDS = 1000;
const ANSWER_MILLISECONDS = 30_000;
/** A server sends something to an event stream every 15 seconds. */
const SILENT_MILLISECONDS = 45_000;
const WAIT_SECONDS = 10;
const PAGE = 1000;
const SCOPES = ["read", "commit", "admin"];

/** The end of the log, without any changeset. */
const HEAD = "changesets?include=position&limit=1&checkpoint=9007199254740991";

let key = null;
let asking = null;
let isDeclined = false;

/** What the server has: a process that runs projections serves no log. */
export const has = { projections: false, log: false };

/**
 * The processes that are shown: where the API of each is, and its URL. The first one has the log. There is one,
 * where the page comes from the process itself.
 */
export let processes = [{ at: "", url: location.host }];

/** What the key may do on each process, as that says. Those that did not answer are not in here. */
const rights = new Map();

/** The scopes that the key has on a process. `null`: it did not answer. */
export function scopesOf(process) {
  return rights.get(process) ?? null;
}

/** Whether the key may do something on a process. One that did not answer may allow everything: it refuses the rest. */
export function may(scope, process = processes[0]) {
  return scopesOf(process)?.includes(scope) ?? true;
}

let isRemote = false;
let exploring = 0;
let begin = () => {};

/** What to do when somebody has entered a key: it may do something else than the one before. */
export function whenKeyChanges(act) {
  begin = act;
}

/** The page comes from `ees console`, which was given these servers. */
export function showRemote(servers) {
  isRemote = true;
  processes = servers;
}

/** The server's answer to a request that it refused, or that it could not be reached. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function refusal(response) {
  const text = await response.text().catch(() => "");
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // Not from the server itself, but from a proxy, say.
  }
  const message = body.message ?? (body.request_id ? `An internal error. The server's log says more under ${body.request_id}.` : "");
  return new Refusal(response.status, body.error ?? "", message || `The server answers ${response.status}.`);
}

/** Fetches, and ends where a read is not answered for long. An endless answer has to begin by then; a long one may take its time. */
export async function request(url, { isEndless = false, isLong = false, signal, ...options }) {
  const late = new AbortController();
  const giveUp = () => late.abort(new Refusal(0, "", `The server has not answered for ${ANSWER_MILLISECONDS / 1000} seconds.`));
  const timer = options.method === "POST" || isLong ? undefined : setTimeout(giveUp, ANSWER_MILLISECONDS);
  try {
    const response = await fetch(url, { ...options, signal: AbortSignal.any(signal ? [signal, late.signal] : [late.signal]) });
    if (isEndless) clearTimeout(timer);
    return response;
  } catch (error) {
    clearTimeout(timer);
    throw error;
  }
}

async function send(path, { method = "GET", body, headers = {}, signal, isEndless, isLong } = {}) {
  const all = { ...headers };
  if (key !== null) all.Authorization = `Bearer ${key}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  try {
    return await request(`../${path}`, { method, body, headers: all, signal, isEndless, isLong, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (signal?.aborted || error instanceof Refusal) throw error;
    throw new Refusal(0, "", "The server can't be reached.");
  }
}

/** Sends a request; asks for a key where one is needed. */
async function call(path, options) {
  for (;;) {
    const sent = key;
    const response = await send(path, options);
    if (response.ok) return response;
    const refused = await refusal(response);
    if (refused.status !== 401 || isDeclined) throw refused;
    // A key may come from the dialog, or meanwhile from the address.
    if (sent === key && !(await askForKey(sent !== null)) && sent === key) throw refused;
  }
}

export async function text(path, options) {
  return (await call(path, options)).text();
}

export async function json(path, options) {
  return JSON.parse(await text(path, options));
}

export function post(path, body) {
  return json(path, { method: "POST", body: JSON.stringify(body) });
}

/** What is there, or `null` where the server has no such thing or the key may not see it. */
export async function jsonIfAny(path, options) {
  try {
    return await json(path, options);
  } catch (error) {
    if (error instanceof Refusal && (error.status === 404 || error.status === 403)) return null;
    throw error;
  }
}

/** The checkpoint after the newest changeset. */
export async function head(signal) {
  return (await json(HEAD, { signal })).head;
}

export function hasKey() {
  return key !== null;
}

export function changeKey() {
  isDeclined = false;
  askForKey(false);
}

export function useKey(given) {
  key = given;
  isDeclined = false;
}

export function forgetKey() {
  key = null;
}

/** Asks once, however many requests need it. */
function askForKey(isUnknown) {
  const before = key;
  asking ??= ask({
    title: isRemote ? "Key of the console" : "API key",
    sentence: (isUnknown ? "The server does not know this key. " : "")
      + (isRemote ? "The address that `ees console` has printed ends with a key: open it again, or enter what follows #key=."
        : "This server needs an API key. The key stays in this tab until you close or reload it."),
    fields: [{ name: "key", label: "Key", type: "password", required: true }],
    confirm: "Use this key",
    run: async (given) => {
      key = given.key.trim();
    },
  }).then((isGiven) => {
    isDeclined = !isGiven && key === before;
    asking = null;
    // Who explores tries the key at once.
    if (isGiven && exploring === 0) begin();
    return isGiven;
  });
  return asking;
}

/** Learns what the processes have, and what the key may do there. One that does not answer may have everything. */
export async function explore() {
  exploring += 1;
  const found = await eachProcess(exploreOne).finally(() => { exploring -= 1; });
  rights.clear();
  found.filter(({ value }) => value).forEach(({ process, value }) => rights.set(process, value.scopes));
  has.projections = found.some(({ value }) => !value || value.projections);
  has.log = !found[0].value || found[0].value.log;
}

async function exploreOne({ at }) {
  const told = (await jsonIfAny(`${at}access`))?.scopes ?? [];
  const scopes = SCOPES.filter((scope) => told.includes(scope));
  const isThere = async (path) => scopes.includes("read") && isServed(`${at}${path}`);
  const [projections, log] = await Promise.all([isThere("projections"), at === "" && isThere(HEAD)]);
  return { scopes, projections, log };
}

/** Whether the server has it, also where it can't answer now. */
async function isServed(path) {
  try {
    return (await jsonIfAny(path)) !== null;
  } catch (error) {
    if (error.status === 401) throw error;
    return true;
  }
}

/** Asks every process. Where one of several does not answer, its error stands for the answer. */
export async function eachProcess(call) {
  const answers = await Promise.allSettled(processes.map(call));
  if (answers.every(({ status }) => status === "rejected")) throw answers[0].reason;
  return answers.map(({ value, reason }, at) => ({ process: processes[at], value, error: reason }));
}

/**
 * The projections and reactors of all processes, each with its process, and the processes that don't answer. One that
 * another of these processes runs is listed there.
 */
export async function allProjections(signal) {
  const answers = await eachProcess(({ at }) => jsonIfAny(`${at}projections`, { signal }));
  const all = answers.flatMap(({ process, value }) => (value?.projections ?? []).map((status) => ({ ...status, process })));
  const runs = ({ state }) => state !== "elsewhere" && state !== "absent";
  const isListed = ({ name }, at) => all.some((other, place) => other.name === name && (runs(other) || place < at));
  return {
    projections: all.filter((status, at) => status.state !== "elsewhere" || !isListed(status, at)),
    silent: answers.filter(({ error }) => error),
  };
}

/** The path of a projection or a reactor. */
export function pathOf({ process, name }) {
  return `${process.at}projections/${encodeURIComponent(name)}`;
}

/** What a process says of its own health, also where it answers that it is unavailable. */
export async function health(process, signal) {
  const response = await send(`${process.at}health/ready`, { signal }).catch(() => null);
  return (await response?.json().catch(() => null)) ?? null;
}

/**
 * Follows an event stream until the signal ends it, over lost connections too.
 *
 * `onEvent(name, data, place)` gets each event, and with `null` for data each new place to go on from;
 * `onState(isConnected)` each change of the connection.
 */
export async function follow(path, { signal, from, onEvent, onState }) {
  let place = from;
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream" };
      if (place !== undefined) headers["Last-Event-ID"] = place;
      const response = await call(path, { headers, signal, isEndless: true });
      if (response.status === 204) return;
      onState(true);
      await readEvents(response.body, (name, data, id) => {
        place = id ?? place;
        onEvent(name, data, place);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 406) {
        await followByAsking(path, { signal, from: place, onEvent, onState });
        return;
      }
      const isForGood = error instanceof Refusal && error.status >= 400 && error.status < 500;
      if (isForGood) throw error;
    }
    if (signal.aborted) return;
    onState(false);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
  }
}

/** Follows the log where the server has no event streams: a function has none. */
async function followByAsking(path, { signal, from, onEvent, onState }) {
  const query = new URLSearchParams(path.split("?")[1]);
  query.set("limit", PAGE);
  query.set("wait", WAIT_SECONDS);
  if (from !== undefined) query.set("checkpoint", from);
  while (!signal.aborted) {
    try {
      const page = Object.fromEntries(members(await text(`changesets?${query}`, { signal })));
      onState(true);
      const place = page.next_checkpoint;
      query.set("checkpoint", place);
      items(page.changesets).forEach((changeset) => onEvent("changeset", changeset, place));
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500) throw error;
      onState(false);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
    }
  }
}

/**
 * Splits a body into events, until it ends or is silent for long: the connection is lost then. A comment with an `id`
 * moves the place on: it comes as an event without data.
 */
async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "message", data: null, id: undefined };
  const take = (line) => {
    if (line === "") {
      if (event.data !== null || event.id !== undefined) onEvent(event.name, event.data, event.id);
      event = { name: "message", data: null, id: undefined };
    } else if (line.startsWith("data:")) {
      const data = line.slice(line[5] === " " ? 6 : 5);
      event.data = event.data === null ? data : `${event.data}\n${data}`;
    } else if (line.startsWith("id:")) {
      event.id = line.slice(3).trim();
    } else if (line.startsWith("event:")) {
      event.name = line.slice(6).trim();
    }
  };
  for (;;) {
    const silence = setTimeout(() => reader.cancel(), SILENT_MILLISECONDS);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    if (!value.includes("\n")) {
      rest += value;
      continue;
    }
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(take);
  }
}
