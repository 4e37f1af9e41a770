//! Reads, on a pool of connections: each query sees what was committed when it began. A page may take several.

use std::ops::Range;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::copy;
use super::error::failed;
use super::head::Head;
use super::readers::Readers;
use super::row::Stored;
use super::sql::{signed, unsigned};
use crate::{
    ChangesetId, Checkpoint, Error, EventId, Filter, LogEntry, LogHead, LogPage, LogQuery, Result, StreamId,
    StreamPage, StreamQuery, StreamRange, StreamType, Tail, Timestamp,
};

/// Rows a filtered read looks at before it answers, whatever it found.
const SCAN_ROWS_MAX: u64 = 10_000;
/// From this many rows on, they are read by COPY, which can't be prepared.
const LONG_ROWS: u64 = 200;
/// Bytes that one query is meant to return, at most.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// From this many bytes on, a new connection is quicker than reading what a COPY still sends.
const LEFT_BYTES_MIN: usize = 2 * PART_BYTES;
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
/// The columns of a changeset, in the order in which [`Stored::of`] and `copy` take them.
macro_rules! columns {
    () => {
        "checkpoint, changeset_id, first_event_id, event_count, timestamp, stream_id, stream_type, events, metadata, \
         checksum, trace_context"
    };
}

/// A page of the log.
pub(super) async fn log(readers: &Readers, head: &Head, query: &LogQuery) -> Result<LogPage> {
    let question = (query, head);
    let page = readers.ask_in_part(
        &question,
        |(query, head), connection| {
            Box::pin(async move {
                if query.filter.is_all() {
                    plain(connection, query, head).await
                } else {
                    filtered(connection, query, head).await
                }
            })
        },
        |(found, _)| !found.is_left,
    );
    let (found, next) = page.await?;
    Ok(head.page(query.from, found.changesets, next))
}

/// Without a filter. An empty page has reached the end, so the end is looked up before a page is empty.
async fn plain(
    connection: &mut PgConnection,
    query: &LogQuery,
    head: &Head,
) -> sqlx::Result<(Found, Checkpoint)> {
    let known = head.known().checkpoint;
    if query.from < known {
        let (found, next) = next_rows(connection, query, known).await?;
        if !found.changesets.is_empty() {
            return Ok((found, next));
        }
    }
    let end = head.look(connection).await?.checkpoint;
    if end <= query.from {
        return Ok((Found::default(), query.from));
    }
    let (found, next) = next_rows(connection, query, end).await?;
    // What is missing up to the end was deleted: nothing else takes its place.
    let next = if found.changesets.is_empty() { end } else { next };
    Ok((found, next))
}

/// The rows that come next, however far away they are.
async fn next_rows(
    connection: &mut PgConnection,
    query: &LogQuery,
    end: Checkpoint,
) -> sqlx::Result<(Found, Checkpoint)> {
    let limit = query.limit.max(1);
    let (mut found, mut next) = (Found::default(), query.from);
    loop {
        let before = found.changesets.len();
        let places = end.get().saturating_sub(next.get());
        let rows_max = match (limit - before) as u64 {
            wanted if wanted.min(places) < LONG_ROWS => wanted,
            wanted => wanted.min(found.rows_likely_to_fill_part(query)),
        };
        let long = places.min(rows_max) >= LONG_ROWS;
        if let Some(cut) = found.add(connection, next..Checkpoint::MAX, rows_max, query, long).await? {
            if found.has_enough(query) {
                return Ok((found, cut));
            }
            next = cut;
            continue;
        }
        next = found.changesets.last().map_or(next, |last| last.checkpoint.next());
        let added = (found.changesets.len() - before) as u64;
        if added < rows_max || found.changesets.len() >= limit {
            return Ok((found, next));
        }
    }
}

/// Looks at a bounded number of rows up to the end of the log as it was before.
async fn filtered(
    connection: &mut PgConnection,
    query: &LogQuery,
    head: &Head,
) -> sqlx::Result<(Found, Checkpoint)> {
    let end = head.look(connection).await?.checkpoint;
    let types_any = query.filter.stream_types.is_empty();
    let mut found = Found::default();
    let mut next = query.from;
    let scan_end = query.from.plus(SCAN_ROWS_MAX).min(end);
    let started = Instant::now();
    while next < scan_end && (next == query.from || started.elapsed() < SCAN_TIME_MAX) {
        let rows_max = match types_any {
            true => found.rows_likely_to_fill_part(query).min(CHUNK_ROWS),
            false => CHUNK_ROWS,
        };
        let to = next.plus(rows_max).min(scan_end);
        let long = types_any && rows_max >= LONG_ROWS;
        next = found.add(connection, next..to, rows_max, query, long).await?.unwrap_or(to);
        if found.has_enough(query) {
            break;
        }
    }
    Ok((found, next))
}

/// What a read found so far.
#[derive(Default)]
struct Found {
    changesets: Vec<LogEntry>,
    bytes: usize,
    /// The rows up to here, also those that the filter does not let pass.
    seen: usize,
    seen_bytes: usize,
    /// Whether there was no room on the page for the next one.
    is_full: bool,
    /// Whether the server was left while it was sending.
    is_left: bool,
}

impl Found {
    /// Returns `true` if the page ends here, whatever follows in the log.
    fn has_enough(&self, query: &LogQuery) -> bool {
        self.is_full || self.is_left || self.seen_bytes >= Self::bytes_max(query)
    }

    /// Returns how many bytes a read looks at, at most, or a little more.
    fn bytes_max(query: &LogQuery) -> usize {
        if query.filter.event_types.is_empty() { query.max_bytes } else { SCAN_BYTES_MAX }
    }

    /// Returns how many bytes the next query is meant to return.
    fn part_bytes(&self, query: &LogQuery) -> usize {
        Self::bytes_max(query).saturating_sub(self.seen_bytes).min(PART_BYTES)
    }

    /// Returns how many rows have that many bytes, and an eighth more, if they are like those before: it is better to read
    /// a few in vain than to ask once more. At first their size is not known, and few are asked for.
    fn rows_likely_to_fill_part(&self, query: &LogQuery) -> u64 {
        let few = LONG_ROWS - 1;
        let Some(average) = self.seen_bytes.checked_div(self.seen) else { return few };
        let rows = (self.part_bytes(query) / average.max(1)) as u64;
        rows.saturating_add(rows / 8).max(few)
    }

    /// Takes a changeset on the page. Returns `false` if there is no room for it; the first one always has room.
    fn take(&mut self, row: Stored, query: &LogQuery) -> bool {
        let bytes = self.bytes + row.page_bytes();
        let lacks_room = self.changesets.len() >= query.limit.max(1) || bytes > query.max_bytes;
        self.is_full = lacks_room && !self.changesets.is_empty();
        if !self.is_full {
            self.bytes = bytes;
            self.changesets.push(row.entry);
        }
        !self.is_full
    }

    /// Adds what passes of a part of the log; where to go on, if that is before the end of the part.
    async fn add(
        &mut self,
        connection: &mut PgConnection,
        places: Range<Checkpoint>,
        rows_max: u64,
        query: &LogQuery,
        long: bool,
    ) -> sqlx::Result<Option<Checkpoint>> {
        let part_bytes = self.part_bytes(query);
        let mut rows = part(connection, places.clone(), rows_max, &query.filter, part_bytes, long).await?;
        // Of a short part the server sends no more than this.
        let bytes_max = if long { 2 * part_bytes } else { part_bytes };
        let filter = query.filter.matcher();
        let mut cut = None;
        let (mut read, mut read_bytes) = (0, 0);
        while let Some(row) = rows.try_next().await? {
            let (checkpoint, page_bytes) = (row.entry.checkpoint, row.page_bytes());
            (read, read_bytes) = (read + 1, read_bytes + page_bytes);
            if cut.is_none() {
                self.seen += 1;
                self.seen_bytes += page_bytes;
                if filter.accepts(&row.entry) && !self.take(row, query) {
                    cut = Some(checkpoint);
                } else if read_bytes > bytes_max {
                    cut = Some(checkpoint.next());
                }
            }
            if long && cut.is_some() {
                // Many, if the rows are larger than those before.
                let rows_to_come = rows_max.saturating_sub(read).min(places.end.get() - checkpoint.get());
                if rows_to_come.saturating_mul(read_bytes as u64 / read) > LEFT_BYTES_MIN as u64 {
                    self.is_left = true;
                    break;
                }
            }
        }
        Ok(cut)
    }
}

/// A part of the log. The caller bounds a long one by its number of rows, estimated from the rows before: the running sum that
/// bounds a short one would cost the server half as much again.
async fn part<'c>(
    connection: &'c mut PgConnection,
    places: Range<Checkpoint>,
    rows_max: u64,
    filter: &'c Filter,
    bytes_max: usize,
    long: bool,
) -> sqlx::Result<BoxStream<'c, sqlx::Result<Stored>>> {
    let (from, to, rows_max) = (signed(places.start.get()), signed(places.end.get()), signed(rows_max));
    if long {
        let sql = format!(
            concat!(
                "SELECT ",
                columns!(),
                " FROM ees_store.changesets WHERE checkpoint >= {} AND checkpoint < {} ORDER BY checkpoint LIMIT {}"
            ),
            from, to, rows_max
        );
        return copy::changesets(connection, &sql).await;
    }
    let types = &filter.stream_types;
    let types: Option<Vec<&str>> =
        (!types.is_empty()).then(|| types.iter().map(StreamType::as_str).collect());
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let rows = sqlx::query(SHORT_PART).bind(from).bind(to).bind(types).bind(rows_max).bind(bytes_max);
    Ok(rows.fetch(connection).and_then(|row| std::future::ready(Stored::of(&row))).boxed())
}

/// A short part of the log. The running sum keeps the server from sending more than what a page can hold, and the row that
/// shows there is more.
const SHORT_PART: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (
        SELECT *, sum(octet_length(events) + octet_length(metadata) + 256)
            OVER (ORDER BY checkpoint ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
        FROM (
            SELECT * FROM ees_store.changesets
            WHERE checkpoint >= $1 AND checkpoint < $2 AND ($3::text[] IS NULL OR stream_type = ANY ($3))
            ORDER BY checkpoint LIMIT $4
        ) part
    ) page
    WHERE before IS NULL OR before <= $5 ORDER BY checkpoint"
);

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
        let row = Stored::of(row).map_err(failed)?;
        bytes += row.page_bytes();
        let changeset = row.entry.changeset;
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
const CHANGESETS_OF_STREAM: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (
        SELECT *, sum(octet_length(events) + octet_length(metadata) + 256)
            OVER (ORDER BY changeset_id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
        FROM ees_store.changesets
        WHERE stream_id = $1 AND changeset_id >= greatest($2, 1) AND changeset_id <= greatest($2, 1) + $4
            AND ($3::bigint IS NULL OR changeset_id <= $3)
    ) page
    WHERE before IS NULL OR before <= $5 ORDER BY changeset_id"
);

const EVENTS_OF_STREAM: &str = concat!(
    "WITH range AS MATERIALIZED (
        SELECT greatest(ees_store.changeset_holding($1, $2), 1) AS first,
               CASE WHEN $3::bigint IS NOT NULL THEN ees_store.changeset_holding($1, $3) END AS last
    )
    SELECT ",
    columns!(),
    " FROM (
        SELECT c.*, sum(octet_length(events) + octet_length(metadata) + 256)
            OVER (ORDER BY changeset_id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before
        FROM range, ees_store.changesets c
        WHERE stream_id = $1 AND changeset_id >= range.first AND changeset_id <= range.first + $4
            AND (range.last IS NULL OR changeset_id <= range.last)
    ) page
    WHERE before IS NULL OR before <= $5 ORDER BY changeset_id"
);

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
