// Emmett on PostgreSQL: `appendToStream` with `expectedStreamVersion`, and projections by its raw SQL
// helpers.
//
// - `async`: a consumer with a projector, which pulls every 50 ms (the default) and keeps rows and position
//   of a batch in one transaction; `rebuildPostgreSQLProjections` makes the read model again. A statement for
//   each event.
// - `async-folded`: the same with one function for a batch of 100 (the default), which folds the events by
//   account first.
// - `inline`: the projection runs in the transaction of the append.
import {
  getPostgreSQLEventStore, postgreSQLRawBatchSQLProjection, postgreSQLRawSQLProjection, readMessagesBatch,
  rebuildPostgreSQLProjections,
} from '@event-driven-io/emmett-postgresql';
import { SQL, dumbo } from '@event-driven-io/dumbo';
import pg from 'pg';
import { accountId, append, createAccount, live, now, print, query, read, sleep, task, view } from './workload.mjs';

const EVENTS_A_PAGE = 1000;

const upsert = (id, amount, events, position) => SQL`INSERT INTO account AS a (id, balance, event_count, last_event_id)
  VALUES (${id}, ${amount}, ${events}, ${position}) ON CONFLICT (id) DO UPDATE SET balance = a.balance + excluded.balance,
  event_count = a.event_count + excluded.event_count, last_event_id = excluded.last_event_id`;

const eventByEvent = postgreSQLRawSQLProjection({
  name: 'account',
  canHandle: ['Moved'],
  evolve: ({ data, metadata }) => upsert(data.account_id, data.amount, 1, metadata?.globalPosition ?? 0n),
});

const folded = postgreSQLRawBatchSQLProjection({
  name: 'account',
  canHandle: ['Moved'],
  evolve: (events) => {
    const changes = new Map();
    for (const { data, metadata } of events) {
      const change = changes.get(data.account_id) ?? { balance: 0, events: 0, position: 0n };
      change.balance += data.amount;
      change.events += 1;
      change.position = metadata.globalPosition;
      changes.set(data.account_id, change);
    }
    return [...changes].map(([id, { balance, events, position }]) => upsert(id, balance, events, position));
  },
});

const projection = task.usage === 'async-folded' ? folded : eventByEvent;
const inline = task.usage === 'inline';

/** Opens the connections of its pool before the clock starts. */
const open = async () => {
  const pool = new pg.Pool({ connectionString: task.database, max: Math.max(2, task.clients) });
  const projections = inline ? [{ type: 'inline', projection }] : [];
  const store = getPostgreSQLEventStore(task.database, { projections, connectionOptions: { pool } });
  await store.schema.migrate();
  const clients = await Promise.all(Array.from({ length: task.clients }, () => pool.connect()));
  clients.forEach((client) => client.release());
  return store;
};

const writer = (store) => (stream, version, payloads) =>
  store.appendToStream(accountId(stream), payloads.map((data) => ({ type: 'Moved', data })), {
    expectedStreamVersion: version === 0 ? 'STREAM_DOES_NOT_EXIST' : BigInt(version),
  });

const parts = {
  append: async () => {
    if (inline) await createAccount();
    const report = await append(writer(await open()));
    const [{ stored }] = await query('SELECT count(*)::int AS stored FROM emt_messages');
    return { ...report, stored, ...(inline ? { view: await view() } : {}) };
  },
  'catch-up': async () => {
    await createAccount();
    const begun = now();
    const rebuild = rebuildPostgreSQLProjections({ connectionString: task.database, projections: [projection] });
    // When the time is over, the table says how far this has come.
    await Promise.race([rebuild.start(), sleep(task.ms)]);
    const seconds = (now() - begun) / 1000;
    const seen = await view();
    return { events: seen.events, seconds, view: seen };
  },
  live: async () => {
    await createAccount();
    const store = await open();
    if (!inline) {
      const consumer = store.consumer();
      consumer.projector({ processorId: 'accounts', projection });
      consumer.start().catch((error) => console.error(error));
    }
    const report = await live(writer(store));
    return { ...report, view: await view() };
  },
  read: async () => {
    const store = await open();
    return read(async (stream) => (await store.readStream(accountId(stream))).events.length);
  },
  // The reader that its consumers have. It pages by position, and orders a page by transaction first.
  enumerate: async () => {
    const database = dumbo({ connectionString: task.database });
    const seen = new Set();
    const begun = now();
    let after = -1n;
    while (now() < begun + task.ms) {
      const { messages, currentGlobalPosition } = await readMessagesBatch(database.execute, { after, batchSize: EVENTS_A_PAGE });
      if (messages.length === 0) break;
      for (const { metadata } of messages) seen.add(metadata.messageId);
      after = currentGlobalPosition;
    }
    return { events: seen.size, seconds: (now() - begun) / 1000 };
  },
};

print(await parts[task.part]());
// Pools and consumers that nobody needs any more.
process.exit(0);
