//! Many rows at once, by COPY: for long pages less than half of the driver's work on rows.
//!
//! A COPY has to be read to its end, or its connection closed: the driver does not clean up behind one that was left.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::postgres::PgConnection;

use super::row::Stored;
use super::sql::unsigned;
use crate::quarantine::StoredBody;
use crate::{
    Changeset, ChangesetId, Checkpoint, EventId, LogEntry, StreamId, StreamType, Timestamp, TraceContext,
};

/// The signature, the flags and the length of an extension that nobody uses.
const HEADER_BYTES: usize = 19;

/// The changesets that a query gives, whose columns are in the order of the table.
pub(super) async fn changesets<'c>(
    connection: &'c mut PgConnection,
    query: &str,
) -> sqlx::Result<BoxStream<'c, sqlx::Result<Stored>>> {
    let tuples = connection.copy_out_raw(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).await?;
    let mut header = HEADER_BYTES;
    let changesets = tuples.try_filter_map(move |bytes| {
        // It comes in one piece with the first tuple.
        let tuple = bytes.get(std::mem::take(&mut header)..).ok_or_else(broken);
        std::future::ready(tuple.and_then(|tuple| Tuple(tuple).changeset()))
    });
    Ok(changesets.boxed())
}

/// What is left of one row.
struct Tuple<'a>(&'a [u8]);

impl<'a> Tuple<'a> {
    /// `None` at the end of all.
    fn changeset(mut self) -> sqlx::Result<Option<Stored>> {
        if i16::from_be_bytes(self.array()?) < 0 {
            return Ok(None);
        }
        let checkpoint = Checkpoint::new(self.number()?);
        let changeset_id = ChangesetId::new(self.number()?);
        let first_event_id = EventId::new(self.number()?);
        let event_count = self.number()?;
        let timestamp = Timestamp::from_micros(self.signed()?);
        let stream_id = StreamId::stored(self.text()?);
        let stream_type = self.field()?.map(text).transpose()?.map(StreamType::stored);
        let (events, metadata) = (self.text()?.as_bytes(), self.text()?.as_bytes());
        let checksum = self.field()?.map(number).transpose()?;
        let trace = self.field()?.map(text).transpose()?.and_then(TraceContext::from_stored);
        let bytes = events.len() + metadata.len();
        let body = StoredBody { events, metadata, count: event_count };
        let (events, metadata) = body.read_checked(stream_id.as_str(), checksum);
        let changeset = Changeset {
            stream_id,
            changeset_id,
            first_event_id,
            events,
            metadata,
            timestamp,
            stream_type,
            trace,
        };
        Ok(Some(Stored { entry: LogEntry { checkpoint, changeset }, bytes }))
    }

    fn array<const N: usize>(&mut self) -> sqlx::Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(broken)?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// The next column; `None` is NULL.
    fn field(&mut self) -> sqlx::Result<Option<&'a [u8]>> {
        let Ok(length) = usize::try_from(i32::from_be_bytes(self.array()?)) else { return Ok(None) };
        let (field, rest) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = rest;
        Ok(Some(field))
    }

    fn signed(&mut self) -> sqlx::Result<i64> {
        number(self.field()?.ok_or_else(broken)?)
    }

    fn number(&mut self) -> sqlx::Result<u64> {
        self.signed().map(unsigned)
    }

    fn text(&mut self) -> sqlx::Result<&'a str> {
        text(self.field()?.ok_or_else(broken)?)
    }
}

fn number(bytes: &[u8]) -> sqlx::Result<i64> {
    Ok(i64::from_be_bytes(bytes.try_into().map_err(|_| broken())?))
}

fn text(bytes: &[u8]) -> sqlx::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn broken() -> sqlx::Error {
    sqlx::Error::Decode("a row of a COPY is not as expected".into())
}
