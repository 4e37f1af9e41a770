//! Why a row of a read model is as it is: the events that made it.

use std::collections::BTreeMap;

use ees_store::{ChangesetId, Checkpoint, EventId, Json, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

/// Which row to explain, and how much to tell of it.
///
/// ```
/// use ees_projector::Explain;
/// let wanted = Explain { steps_max: 10, ..Explain::key("account/42") };
/// # assert_eq!(wanted.table, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    /// The key of the row, as text.
    pub key: String,
    /// The table. Default: the only one of the projection.
    pub table: Option<String>,
    /// The most steps to return. When there are more, the first half and the last half of that number are returned.
    /// Default: 100.
    pub steps_max: usize,
}

impl Explain {
    /// The row with this key, with the defaults.
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: key.into(), table: None, steps_max: 100 }
    }
}

/// How far the replay for an explanation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct ExplainProgress {
    /// The checkpoint that it replays next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The checkpoint at which it ends: where the projection is.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub until: Checkpoint,
}

/// Why a row is as it is. The projection's own code has made the row once more, in memory, of the events up to the
/// projection's position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The name of the table.
    pub table: String,
    /// The key of the row.
    pub key: String,
    /// The checkpoint up to which the row was made, exclusive: where the projection was.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The row as the events make it: an object of its columns, or its JSON document. `null` if there is none.
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>))]
    pub row: Option<Json>,
    /// Whether the database has the same row. If it has not, the row was not made by the current code from the events
    /// of now: its code has changed without a new version, somebody has written to the table, or an operator has set
    /// the checkpoint.
    pub is_stored: bool,
    /// The row in the database, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>, nullable = false))]
    pub stored: Option<Json>,
    /// Of each column of the row, the event that has written its value. The columns of a document are its members; a
    /// document that is no object has the column `state`.
    pub written_by: BTreeMap<String, Writer>,
    /// The number of events that changed the row.
    pub steps_total: u64,
    /// The events that changed the row, in order. When there are more than were asked for, or than 2 MiB, the first
    /// and the last ones.
    pub steps: Vec<Step>,
    /// The number of events that named the row or read it, and changed nothing.
    pub without_effect: u64,
    /// The changesets that may belong to the row and were left out, up to 100: those that an operator skipped, those
    /// that are parked, and those that the code can't read.
    pub left_out: Vec<LeftOut>,
    /// The number of changesets that were replayed for it.
    pub replayed: u64,
    /// The stream that was replayed, if it was enough. Otherwise the log was, as far as the projection subscribes to
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "http", schema(value_type = Option<String>, nullable = false))]
    pub stream_id: Option<StreamId>,
}

/// An event that changed a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Step {
    /// The number of the step, from 1.
    pub number: u64,
    /// The event.
    #[cfg_attr(feature = "http", schema(inline))]
    #[serde(flatten)]
    pub writer: Writer,
    /// When the event was committed.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub timestamp: Timestamp,
    /// The event as it is stored. `null` if it has more than 64 KiB, or if the projection is given whole changesets.
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>))]
    pub event: Option<Json>,
    /// The row before the event; `null` if there was none.
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>))]
    pub before: Option<Json>,
    /// The row after the event; `null` if it was deleted.
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>))]
    pub after: Option<Json>,
    /// The columns that have another value after the event.
    pub changed: Vec<String>,
}

/// The event that is behind a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Writer {
    /// The checkpoint of its changeset.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// Its stream.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The number of its changeset in the stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// Its number in the stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub event_id: EventId,
    /// Its type, if it has one.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
}

/// A changeset that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct LeftOut {
    /// Its checkpoint.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// Its stream.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// Its number in the stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why a changeset is not in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// An operator skipped it.
    Skipped,
    /// Its stream is parked, and it waits there.
    Parked,
    /// The current code can't read one of its events, although the projection has passed it.
    Unreadable,
}
