// What `workload/` is for the drivers in Rust, where each part is explained.
import pg from 'pg';

const EVENTS_AN_APPEND = 2;
const EVENT_BYTES = 200;
const APPENDS_A_SECOND = 50;
/** Between two looks at the read model. A timer of Node.js is not finer. */
const LOOK_PAUSE_MS = 1;
const PATIENCE_MS = 10_000;

const variable = (name) => process.env[name] ?? fail(`the runner sets ${name}`);
const fail = (why) => {
  throw new Error(why);
};

export const task = {
  part: process.argv[2],
  usage: process.argv[3],
  database: variable('PEERS_DATABASE'),
  clients: Number(variable('PEERS_CLIENTS')),
  ms: Number(variable('PEERS_SECONDS')) * 1000,
  events: Number(variable('PEERS_EVENTS')),
  streams: Number(variable('PEERS_STREAMS')),
};

export const now = () => performance.now();
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const accountId = (stream) => `account-${String(stream).padStart(6, '0')}`;
const appends = Math.floor(task.events / EVENTS_AN_APPEND);
const streamOf = (append) => (append * 7919) % task.streams;
const versionOf = (append) => EVENTS_AN_APPEND * Math.floor(append / task.streams);
const eventsAStream = Math.floor(task.events / task.streams);
const payload = (account, seq) => {
  const payload = { account_id: account, amount: ((seq * 37) % 1000) - 300, currency: 'EUR', seq, memo: '' };
  payload.memo = 'm'.repeat(Math.max(0, EVENT_BYTES - JSON.stringify(payload).length));
  return payload;
};
const payloads = (stream, append) =>
  Array.from({ length: EVENTS_AN_APPEND }, (_, n) => payload(accountId(stream), append * EVENTS_AN_APPEND + n));
const sum = (payloads) => payloads.reduce((sum, { amount }) => sum + amount, 0);

const within = (times, share) => times.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(times.length * share) - 1)];
const percentiles = (times) => ({ p50_ms: within(times, 0.5), p99_ms: within(times, 0.99) });
export const print = (report) => console.log(JSON.stringify(report));

export const query = async (sql) => {
  const client = new pg.Client(task.database);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
};

export const createAccount = () =>
  query(`CREATE TABLE account (id text PRIMARY KEY, balance bigint NOT NULL, event_count bigint NOT NULL,
    last_event_id bigint NOT NULL)`);

export const view = async () => {
  const [{ rows, events, balance }] = await query(`SELECT count(*) AS rows, coalesce(sum(event_count), 0) AS events,
    coalesce(sum(balance), 0) AS balance FROM account`);
  return { rows: Number(rows), events: Number(events), balance: Number(balance) };
};

/** `writer(stream, version, payloads)` appends. */
export const append = async (writer) => {
  const begun = now();
  const times = [];
  let balance = 0;
  const write = async (number) => {
    for (let append = 0; append < appends; append++) {
      const stream = streamOf(append);
      if (stream % task.clients !== number) continue;
      const called = now();
      if (called >= begun + task.ms) return;
      const events = payloads(stream, append);
      balance += sum(events);
      await writer(stream, versionOf(append), events);
      times.push(now() - called);
    }
  };
  await Promise.all(Array.from({ length: task.clients }, (_, number) => write(number)));
  const seconds = (now() - begun) / 1000;
  return { events: times.length * EVENTS_AN_APPEND, seconds, ...percentiles(times), balance };
};

/** How soon the table shows what was appended. */
export const live = async (writer) => {
  const count = Math.min((task.ms / 1000) * APPENDS_A_SECOND, task.streams);
  const awaited = new Map();
  const times = [];
  let ended = false;
  const watch = async () => {
    const client = new pg.Client(task.database);
    await client.connect();
    let progress = now();
    while (!ended || awaited.size > 0) {
      if (awaited.size > 0) {
        const { rows } = await client.query({
          name: 'look',
          text: 'SELECT id FROM account WHERE id = ANY($1) AND event_count >= $2',
          values: [[...awaited.keys()], EVENTS_AN_APPEND],
        });
        const at = now();
        for (const { id } of rows) {
          times.push(at - awaited.get(id));
          awaited.delete(id);
          progress = at;
        }
        if (at - progress > PATIENCE_MS) break;
      } else {
        progress = now();
      }
      await sleep(LOOK_PAUSE_MS);
    }
    await client.end();
  };
  const watching = watch();
  const begun = now();
  let balance = 0;
  for (let stream = 0; stream < count; stream++) {
    await sleep(Math.max(0, begun + (stream * 1000) / APPENDS_A_SECOND - now()));
    const events = payloads(stream, stream);
    balance += sum(events);
    await writer(stream, 0, events);
    awaited.set(accountId(stream), now());
  }
  ended = true;
  await watching;
  const seconds = (now() - begun) / 1000;
  const appended = count * EVENTS_AN_APPEND;
  return { events: times.length * EVENTS_AN_APPEND, seconds, ...percentiles(times), appended, balance };
};

/** `reader(stream)` reads a stream and returns how many events it has. */
export const read = async (reader) => {
  const begun = now();
  const times = [];
  const readOn = async (number) => {
    for (let n = number; now() < begun + task.ms; n += task.clients) {
      const called = now();
      const events = await reader(streamOf(n));
      if (events !== eventsAStream) fail(`${events} events in stream ${streamOf(n)}`);
      times.push(now() - called);
    }
  };
  await Promise.all(Array.from({ length: task.clients }, (_, number) => readOn(number)));
  const seconds = (now() - begun) / 1000;
  return { events: times.length * eventsAStream, seconds, ...percentiles(times), calls: times.length };
};
