// The public API of the server that the page comes from. The key stays in this module, so it is gone with the tab.

import { ask } from "./dialog.js";

const RETRY_MILLISECONDS = 1000;

/** The end of the log, without any changeset. */
const HEAD = "changesets?include=position&limit=1&checkpoint=9007199254740991";

let key = null;
let asking = null;
let isDeclined = false;

/** What the key may do, as the server says. */
export const may = { read: false, commit: false, admin: false };

/** What the server has: a process that runs projections serves no log. */
export const has = { projections: false, log: false };

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

async function send(path, { method = "GET", body, headers = {}, signal } = {}) {
  const all = { ...headers };
  if (key !== null) all.Authorization = `Bearer ${key}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  try {
    return await fetch(`../${path}`, { method, body, headers: all, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (signal?.aborted) throw error;
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
    if (sent === key && !(await askForKey(sent !== null))) throw refused;
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

export async function changeKey() {
  isDeclined = false;
  return askForKey(false);
}

export function forgetKey() {
  key = null;
}

/** Asks once, however many requests need it. */
function askForKey(isUnknown) {
  asking ??= ask({
    title: "API key",
    sentence: (isUnknown ? "The server does not know this key. " : "")
      + "This server needs an API key. The key stays in this tab until you close or reload it.",
    fields: [{ name: "key", label: "Key", type: "password", required: true }],
    confirm: "Use this key",
    run: async (given) => {
      key = given.key.trim();
    },
  }).then((isGiven) => {
    isDeclined = !isGiven;
    asking = null;
    return isGiven;
  });
  return asking;
}

/** Learns what the server has, and what the key may do. */
export async function explore() {
  const access = await jsonIfAny("access");
  const scopes = access?.scopes ?? [];
  for (const scope of Object.keys(may)) may[scope] = scopes.includes(scope);
  const isThere = async (path) => may.read && (await jsonIfAny(path)) !== null;
  [has.projections, has.log] = await Promise.all([isThere("projections"), isThere(HEAD)]);
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
      const response = await call(path, { headers, signal });
      if (response.status === 204) return;
      onState(true);
      await readEvents(response.body, (name, data, id) => {
        place = id ?? place;
        onEvent(name, data, place);
      });
    } catch (error) {
      if (signal.aborted) return;
      const isForGood = error instanceof Refusal && error.status >= 400 && error.status < 500;
      if (isForGood) throw error;
    }
    if (signal.aborted) return;
    onState(false);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
  }
}

/** Splits a body into events. A comment with an `id` moves the place on: it comes as an event without data. */
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
    const { value, done } = await reader.read();
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
