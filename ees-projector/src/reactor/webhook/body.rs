//! The body of a request.

use ees_store::event::Upcasters;
use ees_store::{ChangesetId, Checkpoint, EventId, Json, StreamId, StreamType, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::BoxError;
use crate::reactor::Cause;

/// An event as it is posted, as JSON with these members. For receivers written in Rust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The idempotency key. It is the same in every repetition, and no other event has it.
    pub id: String,
    /// The name of the reactor.
    pub reactor: String,
    /// The stream of the event.
    pub stream_id: StreamId,
    /// The type of the stream, if it has one.
    pub stream_type: Option<StreamType>,
    /// The number of the changeset in its stream.
    pub changeset_id: ChangesetId,
    /// The number of the event in its stream. Events arrive in this order.
    pub event_id: EventId,
    /// The checkpoint of the changeset in the log.
    pub checkpoint: Checkpoint,
    /// The time of the commit.
    pub timestamp: Timestamp,
    /// The event.
    pub event: Json,
    /// The metadata of the changeset.
    pub metadata: Json,
}

pub(super) fn of<E>(cause: &Cause<'_, E>, key: &str, upcasters: &Upcasters) -> Result<String, BoxError> {
    let mut events = cause.changeset().numbered_events()?;
    let (_, event) = events.find(|(id, _)| *id == cause.event_id).ok_or("the changeset has no such event")?;
    let delivery = Delivery {
        id: key.to_owned(),
        reactor: cause.reactor().to_owned(),
        stream_id: cause.stream_id().clone(),
        stream_type: cause.stream_type().cloned(),
        changeset_id: cause.changeset_id(),
        event_id: cause.event_id,
        checkpoint: cause.checkpoint(),
        timestamp: cause.timestamp(),
        event: Json::parse(&upcasters.upcast(event)?)?,
        metadata: cause.metadata().clone(),
    };
    Ok(serde_json::to_string(&delivery)?)
}
