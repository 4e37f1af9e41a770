// Commits, reads and steers by the client that was generated from the description of the API.

import * as assert from "node:assert/strict";
import { client } from "./generated/client.gen";
import {
    audit, changesets, commit, pause, projection, projections, resume, streamEvents, typedAppend, typedEvents,
    typedNewStream, type CommitRequest,
} from "./generated";

const [url, key] = process.argv.slice(2);
const stream = { stream_id: "account/42 ä" };
const statistics = { name: "statistics" };

async function main(): Promise<void> {
    client.setConfig({ baseUrl: url });
    // Without a key, the error is a value too.
    const refused = await projections();
    assert.equal(refused.error?.error, "UNAUTHORIZED");
    client.setConfig({ auth: key });

    const body: CommitRequest = {
        events: [{ type: "opened" }, { type: "deposited", amount: 7 }],
        metadata: { user: "ada" },
    };
    const headers = { "Idempotency-Key": "once", "Stream-Type": "account" };
    for (let time = 0; time < 2; time += 1) {
        const committed = await commit({ path: stream, headers, body });
        assert.equal(committed.data?.changeset_id, 1);
    }
    const closed = await commit({
        path: stream, query: { expected_last_changeset: 1 }, body: { events: [{ type: "closed" }] },
    });
    const checkpoint = Number(closed.response?.headers.get("ees-checkpoint"));
    assert.equal(checkpoint, 1);
    const conflict = await commit({ path: stream, query: { expected_last_event: 2 }, body: { events: [1] } });
    assert.ok(conflict.error && "forthcoming_changesets" in conflict.error);
    assert.deepEqual(conflict.error.forthcoming_changesets?.map(({ changeset_id }) => changeset_id), [2]);

    const page = await streamEvents({ path: stream, query: { from: 2 } });
    assert.deepEqual(page.data?.events, [
        { id: 2, data: { type: "deposited", amount: 7 } }, { id: 3, data: { type: "closed" } },
    ]);
    const log = await changesets({ query: { include: "position", event_type: ["opened", "other"] } });
    assert.deepEqual(log.data?.changesets.map(({ metadata }) => metadata), [{ user: "ada" }]);
    assert.equal(log.data?.changesets[0].stream_type, "account");
    assert.equal(log.data?.head, 2);

    const applied = await projection({ path: statistics, query: { min_checkpoint: checkpoint } });
    assert.equal(applied.data?.checkpoint, 2);
    const paused = await pause({ path: statistics, body: { reason: "maintenance" } });
    assert.equal(paused.data?.state, "paused");
    assert.equal(paused.data?.pause?.reason, "maintenance");
    const resumed = await resume({ path: statistics });
    assert.equal(resumed.data?.pause, null);
    const entries = await audit({ path: statistics, query: { limit: 2 } });
    assert.deepEqual(entries.data?.audit.map(({ action }) => action), ["resume", "pause"]);
    const unknown = await pause({ path: { name: "nobody" } });
    assert.equal(unknown.error?.error, "PROJECTION_NOT_FOUND");

    const type = { stream_type: "account" };
    const begun = await typedNewStream({ path: type, body: { initialEvent: { eventType: "opened", payload: "x" } } });
    assert.equal(begun.data?.stream.revision, 1);
    const place = { ...type, stream_id: begun.data.stream.streamId, revision: 2 };
    const next = { event: { eventType: "closed", payload: "y" } };
    const appended = await typedAppend({ path: place, body: next });
    assert.equal(appended.data?.stream.revision, 2);
    const late = await typedAppend({ path: place, body: next });
    assert.equal(late.error?.details, null);
    const read = await typedEvents({ path: place });
    assert.deepEqual(read.data?.eventPage.events.map(({ eventType }) => eventType), ["opened", "closed"]);
    assert.equal(read.data.eventPage.hasMore, false);
}

main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
});
