//! A changeset as a row has it, and what it takes of a page.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::sql::unsigned;
use crate::quarantine::StoredBody;
use crate::{
    Changeset, ChangesetId, Checkpoint, EventId, LogEntry, StreamId, StreamType, Timestamp, TraceContext,
};

/// What a changeset costs in memory besides its texts, about.
const OVERHEAD_BYTES: usize = 256;

/// A changeset of a row.
pub(super) struct Stored {
    pub(super) entry: LogEntry,
    /// The bytes of its texts in the row. Those of the changeset may be fewer: white space that somebody else has stored is
    /// left out.
    pub(super) bytes: usize,
}

impl Stored {
    pub(super) fn of(row: &PgRow) -> sqlx::Result<Self> {
        let number = |column: usize| -> sqlx::Result<u64> { row.try_get(column).map(unsigned) };
        let text = |column: usize| -> sqlx::Result<&str> { row.try_get(column) };
        let (events, metadata) = (text(7)?.as_bytes(), text(8)?.as_bytes());
        let bytes = events.len() + metadata.len();
        let body = StoredBody { events, metadata, count: number(3)? };
        let (events, metadata) = body.read_checked(text(5)?, row.try_get(9)?);
        let changeset = Changeset {
            changeset_id: ChangesetId::new(number(1)?),
            first_event_id: EventId::new(number(2)?),
            timestamp: Timestamp::from_micros(row.try_get(4)?),
            stream_id: StreamId::stored(text(5)?),
            events,
            metadata,
            stream_type: row.try_get::<Option<&str>, _>(6)?.map(StreamType::stored),
            trace: row.try_get::<Option<&str>, _>(10)?.and_then(TraceContext::from_stored),
        };
        Ok(Self { entry: LogEntry { checkpoint: Checkpoint::new(number(0)?), changeset }, bytes })
    }

    /// What it takes of a page, as the server counts it.
    pub(super) fn page_bytes(&self) -> usize {
        self.bytes + OVERHEAD_BYTES
    }
}
