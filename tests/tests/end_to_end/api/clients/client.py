"""Commits, reads and steers by the client that was generated from the description of the API."""

import sys
from uuid import UUID

from ees_client import AuthenticatedClient, Client
from ees_client.api.commit import commit
from ees_client.api.projections import audit, pause, projection, projections, resume
from ees_client.api.read import changesets, stream_events
from ees_client.api.typed import typed_append, typed_events, typed_new_stream
from ees_client.models import (
    CommitAnswer,
    CommitRequest,
    CommitRequestMetadata,
    Conflict,
    Error,
    Include,
    InitialEvent,
    NewEvent,
    NextEvent,
    OperationRequest,
    State,
    TypedError,
)

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
stream = "account/42 ä"

# Without a key, the error is a value too.
refused = projections.sync(client=Client(base_url=url))
assert isinstance(refused, Error) and refused.error == "UNAUTHORIZED", refused

opened = CommitRequest(events=[{"type": "opened"}, {"type": "deposited", "amount": 7}])
opened.metadata = CommitRequestMetadata.from_dict({"user": "ada"})
for _ in range(2):
    committed = commit.sync(stream, client=client, body=opened, idempotency_key="once", stream_type="account")
    assert isinstance(committed, CommitAnswer) and committed.changeset_id == 1, committed
closed = commit.sync_detailed(
    stream, client=client, body=CommitRequest(events=[{"type": "closed"}]), expected_last_changeset=1
)
checkpoint = int(closed.headers["ees-checkpoint"])
assert checkpoint == 1, closed
conflict = commit.sync(stream, client=client, body=CommitRequest(events=[1]), expected_last_event=2)
assert isinstance(conflict, Conflict) and conflict.error == "OPTIMISTIC_CONCURRENCY_EXCEPTION", conflict
assert [missed.changeset_id for missed in conflict.forthcoming_changesets] == [2], conflict

page = stream_events.sync(stream, client=client, from_=2)
assert [(event.id, event.data["type"]) for event in page.events] == [(2, "deposited"), (3, "closed")], page
log = changesets.sync(client=client, include=Include.POSITION, event_type=["opened"])
assert [entry.metadata.to_dict() for entry in log.changesets] == [{"user": "ada"}], log
assert log.changesets[0].stream_type == "account" and log.head == 2, log

applied = projection.sync("statistics", client=client, min_checkpoint=checkpoint)
assert applied.checkpoint == 2, applied
paused = pause.sync("statistics", client=client, body=OperationRequest(reason="maintenance"))
assert paused.state == State.PAUSED and paused.pause.reason == "maintenance", paused
resumed = resume.sync("statistics", client=client)
assert resumed.state != State.PAUSED and resumed.pause is None, resumed
entries = audit.sync("statistics", client=client, limit=2).audit
assert [entry.action for entry in entries] == ["resume", "pause"], entries
unknown = pause.sync("nobody", client=client)
assert isinstance(unknown, Error) and unknown.error == "PROJECTION_NOT_FOUND", unknown

first = InitialEvent(initial_event=NewEvent(event_type="opened", payload="x"))
begun = typed_new_stream.sync("account", client=client, body=first).stream
assert isinstance(begun.stream_id, UUID) and begun.revision == 1, begun
following = NextEvent(event=NewEvent(event_type="closed", payload="y"))
appended = typed_append.sync("account", begun.stream_id, 2, client=client, body=following).stream
assert appended.updated_at > begun.updated_at, appended
late = typed_append.sync("account", begun.stream_id, 2, client=client, body=following)
assert isinstance(late, TypedError) and late.details is None, late
read = typed_events.sync("account", begun.stream_id, client=client).event_page
assert [event.event_type for event in read.events] == ["opened", "closed"] and not read.has_more, read
