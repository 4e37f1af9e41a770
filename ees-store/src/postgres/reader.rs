//! Reads, on a pool of connections: each sees what was committed when it began.

use std::fmt::Display;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::copy;
use super::error::failed;
use super::head::Head;
use super::readers::Readers;
use super::sql::{signed, unsigned};
use crate::quarantine::StoredBody;
use crate::{
    Changeset, ChangesetId, Checkpoint, Error, EventId, Filter, LogEntry, LogHead, LogPage, LogQuery, Result,
    StreamId, StreamPage, StreamQuery, StreamRange, StreamType, Tail, Timestamp, TraceContext,
};

/// Rows a filtered read looks at before it answers, whatever it found.
const SCAN_ROWS_MAX: u64 = 10_000;
/// From this many rows on, they are read by COPY, which can't be prepared.
const LONG_ROWS: u64 = 200;
/// Rows in one query of a filtered read.
const CHUNK_ROWS: u64 = 1_000;
/// Bytes a filtered read looks at before it answers.
const SCAN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a filtered read looks before it answers.
const SCAN_TIME_MAX: Duration = Duration::from_secs(1);
/// Changesets in one page of a stream, at most.
const STREAM_ROWS_MAX: usize = 1_000;
/// No stream is longer; leaves room to count on.
const NUMBER_MAX: i64 = i64::MAX - 10_000;
/// What a changeset costs in memory besides its texts, about.
const OVERHEAD_BYTES: usize = 256;

fn changeset(row: &PgRow) -> sqlx::Result<LogEntry> {
    let number = |column: usize| -> sqlx::Result<u64> { row.try_get(column).map(unsigned) };
    let text = |column: usize| -> sqlx::Result<&str> { row.try_get(column) };
    let body = StoredBody { events: text(7)?.as_bytes(), metadata: text(8)?.as_bytes(), count: number(3)? };
    let (events, metadata) = body.read_checked(text(5)?, row.try_get(9)?);
    Ok(LogEntry {
        checkpoint: Checkpoint::new(number(0)?),
        changeset: Changeset {
            changeset_id: ChangesetId::new(number(1)?),
            first_event_id: EventId::new(number(2)?),
            timestamp: Timestamp::from_micros(row.try_get(4)?),
            stream_id: StreamId::stored(text(5)?),
            events,
            metadata,
            stream_type: row.try_get::<Option<&str>, _>(6)?.map(StreamType::stored),
            trace: row.try_get::<Option<&str>, _>(10)?.and_then(TraceContext::from_stored),
        },
    })
}

/// A page of the log.
pub(super) async fn log(readers: &Readers, head: &Head, query: &LogQuery) -> Result<LogPage> {
    let question = (query, head);
    let page = readers.ask(&question, |(query, head), connection| {
        Box::pin(async move {
            if query.filter.is_all() {
                plain(connection, query, head).await
            } else {
                filtered(connection, query, head).await
            }
        })
    });
    let (changesets, next) = page.await?;
    Ok(head.page(query.from, changesets, next))
}

/// Without a filter. An empty page has reached the end, so the end is looked up before a page is empty.
async fn plain(
    connection: &mut PgConnection,
    query: &LogQuery,
    head: &Head,
) -> sqlx::Result<(Vec<LogEntry>, Checkpoint)> {
    let known = head.known().checkpoint;
    if query.from < known {
        let (changesets, next) = next_rows(connection, query, known).await?;
        if !changesets.is_empty() {
            return Ok((changesets, next));
        }
    }
    let end = head.look(connection).await?.checkpoint;
    if end <= query.from {
        return Ok((Vec::new(), query.from));
    }
    let (changesets, next) = next_rows(connection, query, end).await?;
    // What is missing up to the end was deleted: nothing else takes its place.
    let next = if changesets.is_empty() { end } else { next };
    Ok((changesets, next))
}

/// The rows that come next, however far away they are.
async fn next_rows(
    connection: &mut PgConnection,
    query: &LogQuery,
    end: Checkpoint,
) -> sqlx::Result<(Vec<LogEntry>, Checkpoint)> {
    let rows_max = query.limit.max(1) as u64;
    let long = end.get().saturating_sub(query.from.get()).min(rows_max) >= LONG_ROWS;
    let mut found = Found::default();
    let cut = found.add(connection, query.from..Checkpoint::MAX, rows_max, query, long).await?;
    let next = found.changesets.last().map_or(query.from, |last| last.checkpoint.next());
    Ok((found.changesets, cut.unwrap_or(next)))
}

/// Looks at a bounded number of rows up to the end of the log as it was before.
async fn filtered(
    connection: &mut PgConnection,
    query: &LogQuery,
    head: &Head,
) -> sqlx::Result<(Vec<LogEntry>, Checkpoint)> {
    let end = head.look(connection).await?.checkpoint;
    let types_any = query.filter.stream_types.is_empty();
    let mut found = Found::default();
    let mut next = query.from;
    let scan_end = query.from.plus(SCAN_ROWS_MAX).min(end);
    let started = Instant::now();
    while next < scan_end
        && found.seen_bytes < SCAN_BYTES_MAX
        && (next == query.from || started.elapsed() < SCAN_TIME_MAX)
    {
        let to = next.plus(CHUNK_ROWS).min(scan_end);
        if let Some(cut) = found.add(connection, next..to, CHUNK_ROWS, query, types_any).await? {
            return Ok((found.changesets, cut));
        }
        next = to;
    }
    Ok((found.changesets, next))
}

/// What a read found so far.
#[derive(Default)]
struct Found {
    changesets: Vec<LogEntry>,
    bytes: usize,
    seen_bytes: usize,
}

impl Found {
    /// Adds what passes of a part of the log; where to go on when the page is full before its end.
    async fn add(
        &mut self,
        connection: &mut PgConnection,
        places: Range<Checkpoint>,
        rows_max: u64,
        query: &LogQuery,
        long: bool,
    ) -> sqlx::Result<Option<Checkpoint>> {
        let bytes_max = if query.filter.event_types.is_empty() { query.max_bytes } else { SCAN_BYTES_MAX };
        let mut rows = part(connection, places, rows_max, &query.filter, bytes_max, long).await?;
        let filter = query.filter.matcher();
        let mut cut = None;
        let mut read = 0;
        while let Some(indexed) = rows.try_next().await? {
            let checkpoint = indexed.checkpoint;
            read += indexed.size_bytes() + OVERHEAD_BYTES;
            if cut.is_none() && filter.accepts(&indexed) {
                let bytes = self.bytes + indexed.size_bytes() + OVERHEAD_BYTES;
                let full = self.changesets.len() >= query.limit.max(1) || bytes > query.max_bytes;
                if full && !self.changesets.is_empty() {
                    cut = Some(checkpoint);
                } else {
                    self.bytes = bytes;
                    self.changesets.push(indexed);
                }
            }
            if cut.is_none() && read > bytes_max {
                cut = Some(checkpoint.next());
            }
        }
        self.seen_bytes += read;
        Ok(cut)
    }
}

/// A part of the log. The running sum keeps the server from sending more than what a page can hold, and the
/// row that shows there is more.
async fn part<'c>(
    connection: &'c mut PgConnection,
    places: Range<Checkpoint>,
    rows_max: u64,
    filter: &'c Filter,
    bytes_max: usize,
    long: bool,
) -> sqlx::Result<BoxStream<'c, sqlx::Result<LogEntry>>> {
    let (from, to, rows_max) = (signed(places.start.get()), signed(places.end.get()), signed(rows_max));
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    if long {
        return copy::changesets(connection, &part_of_log(from, to, "true", rows_max, bytes_max)).await;
    }
    let types = &filter.stream_types;
    let types: Option<Vec<&str>> =
        (!types.is_empty()).then(|| types.iter().map(StreamType::as_str).collect());
    let sql = part_of_log("$1", "$2", "$3::text[] IS NULL OR stream_type = ANY ($3)", "$4", "$5");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(from).bind(to).bind(types).bind(rows_max).bind(bytes_max);
    Ok(rows.fetch(connection).and_then(|row| std::future::ready(changeset(&row))).boxed())
}

/// What is not a number is a place for one.
fn part_of_log(
    from: impl Display,
    to: impl Display,
    types: &str,
    rows_max: impl Display,
    bytes_max: impl Display,
) -> String {
    format!(
        "SELECT checkpoint, changeset_id, first_event_id, event_count, timestamp, stream_id, stream_type, events, metadata, checksum,
           trace_context
         FROM (
             SELECT *, sum(octet_length(events) + octet_length(metadata) + 256)
                 OVER (ORDER BY checkpoint ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
             FROM (
                 SELECT * FROM ees_store.changesets
                 WHERE checkpoint >= {from} AND checkpoint < {to} AND ({types}) ORDER BY checkpoint LIMIT {rows_max}
             ) part
         ) page
         WHERE before IS NULL OR before <= {bytes_max} ORDER BY checkpoint"
    )
}

/// A page of a stream.
pub(super) async fn stream(readers: &Readers, query: StreamQuery) -> Result<StreamPage> {
    loop {
        let page = part_of_stream(readers, &query).await?;
        if !page.changesets.is_empty() {
            return Ok(page);
        }
        if locate(readers, &query.stream_id, ChangesetId::new(1)).await?.is_none() {
            return Err(Error::StreamNotFound(query.stream_id));
        }
        if !query.range.has_the_first() {
            return Ok(page);
        }
        // It began between the two looks: no stream was ever there and empty.
    }
}

/// As much of a stream as fits a page; nothing when there is no such stream.
async fn part_of_stream(readers: &Readers, query: &StreamQuery) -> Result<StreamPage> {
    let rows_max = query.limit.clamp(1, STREAM_ROWS_MAX);
    let rows = if query.range.is_empty() {
        Vec::new()
    } else {
        readers.ask(query, |query, connection| Box::pin(rows_of_stream(connection, query))).await?
    };
    let mut page = StreamPage::default();
    let mut bytes = 0;
    for row in &rows {
        let LogEntry { changeset, .. } = changeset(row).map_err(failed)?;
        bytes += changeset.size_bytes() + OVERHEAD_BYTES;
        let full = page.changesets.len() >= rows_max || bytes > query.max_bytes;
        if full && !page.changesets.is_empty() {
            page.next = Some(changeset.changeset_id);
            break;
        }
        page.changesets.push(changeset);
    }
    Ok(page)
}

async fn rows_of_stream(connection: &mut PgConnection, query: &StreamQuery) -> sqlx::Result<Vec<PgRow>> {
    let (sql, from, to) = match query.range {
        StreamRange::Changesets { from, to } => (CHANGESETS_OF_STREAM, from.get(), to.map(ChangesetId::get)),
        StreamRange::Events { from, to } => (EVENTS_OF_STREAM, from.get(), to.map(EventId::get)),
    };
    sqlx::query(sql)
        .bind(query.stream_id.as_str())
        .bind(signed(from).min(NUMBER_MAX))
        .bind(to.map(signed))
        .bind(i64::try_from(query.limit.clamp(1, STREAM_ROWS_MAX)).unwrap_or(i64::MAX))
        .bind(i64::try_from(query.max_bytes).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
}

/// One more than the page may hold, so that its end is known for one.
const CHANGESETS_OF_STREAM: &str = "
    SELECT checkpoint, changeset_id, first_event_id, event_count, timestamp, stream_id, stream_type, events, metadata, checksum,
           trace_context
    FROM (
        SELECT *, sum(octet_length(events) + octet_length(metadata) + 256)
            OVER (ORDER BY changeset_id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
        FROM ees_store.changesets
        WHERE stream_id = $1 AND changeset_id >= greatest($2, 1) AND changeset_id <= greatest($2, 1) + $4
            AND ($3::bigint IS NULL OR changeset_id <= $3)
    ) page
    WHERE before IS NULL OR before <= $5 ORDER BY changeset_id";

const EVENTS_OF_STREAM: &str = "
    WITH range AS MATERIALIZED (
        SELECT greatest(ees_store.changeset_holding($1, $2), 1) AS first,
               CASE WHEN $3::bigint IS NOT NULL THEN ees_store.changeset_holding($1, $3) END AS last
    )
    SELECT checkpoint, changeset_id, first_event_id, event_count, timestamp, stream_id, stream_type, events, metadata, checksum,
           trace_context
    FROM (
        SELECT c.*, sum(octet_length(events) + octet_length(metadata) + 256)
            OVER (ORDER BY changeset_id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
        FROM range, ees_store.changesets c
        WHERE stream_id = $1 AND changeset_id >= range.first AND changeset_id <= range.first + $4
            AND (range.last IS NULL OR changeset_id <= range.last)
    ) page
    WHERE before IS NULL OR before <= $5 ORDER BY changeset_id";

/// Where a stream ends; nothing else of it is read.
pub(super) async fn tail(readers: &Readers, stream_id: &StreamId) -> Result<Tail> {
    let row = readers.ask(stream_id, |stream_id, connection| {
        let last = sqlx::query(
            "SELECT changeset_id, first_event_id + event_count - 1, timestamp, stream_type
             FROM ees_store.changesets WHERE stream_id = $1 ORDER BY changeset_id DESC LIMIT 1",
        );
        Box::pin(last.bind(stream_id.as_str()).fetch_optional(connection))
    });
    let Some(row) = row.await? else { return Ok(Tail::default()) };
    let tail = || -> sqlx::Result<Tail> {
        Ok(Tail {
            last_changeset: ChangesetId::new(unsigned(row.try_get(0)?)),
            last_event: EventId::new(unsigned(row.try_get(1)?)),
            last_timestamp: Timestamp::from_micros(row.try_get(2)?),
            stream_type: row.try_get::<Option<&str>, _>(3)?.map(StreamType::stored),
        })
    };
    tail().map_err(failed)
}

pub(super) async fn locate(
    readers: &Readers,
    stream_id: &StreamId,
    changeset_id: ChangesetId,
) -> Result<Option<Checkpoint>> {
    let question = (stream_id, changeset_id);
    let place = readers.ask(&question, |(stream_id, changeset_id), connection| {
        let find = sqlx::query_scalar(
            "SELECT checkpoint FROM ees_store.changesets WHERE stream_id = $1 AND changeset_id = $2",
        );
        let find = find.bind(stream_id.as_str()).bind(signed(changeset_id.get()));
        Box::pin(find.fetch_optional(connection))
    });
    Ok(place.await?.map(|number: i64| Checkpoint::new(unsigned(number))))
}

pub(super) async fn head(readers: &Readers, head: &Head) -> Result<LogHead> {
    readers.ask(head, |head, connection| Box::pin(head.look(connection))).await
}
