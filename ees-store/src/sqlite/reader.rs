//! Reads, on connections of their own: each sees the last committed state and never waits for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::Semaphore;

use super::error::Failure;
use super::file::OpenFiles;
use super::schema;
use crate::quarantine::StoredBody;
use crate::{
    Changeset, ChangesetId, Checkpoint, Error, EventId, LogEntry, LogQuery, Result, StreamId, StreamPage,
    StreamQuery, StreamRange, StreamType, Timestamp, TraceContext,
};

/// Rows a filtered read looks at before it answers, whatever it found.
const SCAN_ROWS_MAX: usize = 10_000;
/// Bytes a filtered read looks at before it answers.
const SCAN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a filtered read looks before it answers.
const SCAN_TIME_MAX: Duration = Duration::from_secs(1);
/// What a changeset costs in memory besides its texts, about.
const OVERHEAD_BYTES: usize = 256;

/// Connections that read, opened as they are needed.
pub(super) struct Readers {
    path: PathBuf,
    open: fn(&Path) -> Result<Connection>,
    /// No new connection leads to other files than the old ones.
    files: Option<Arc<OpenFiles>>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, files: Arc<OpenFiles>, at_once: usize) -> Self {
        let turns = Arc::new(Semaphore::new(at_once.max(1)));
        Self { path, open: schema::open_reader, files: Some(files), idle: Arc::default(), turns }
    }

    /// Opens the first connection: reads go on with it when the files are taken away.
    pub(super) fn open_first(&self) -> Result<()> {
        let connection = (self.open)(&self.path)?;
        // SQLite opens the files when it first reads.
        schema::head(&connection).map_err(|failure| failure.at(&self.path))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(())
    }

    /// One connection, where there is room for no other.
    pub(super) fn alone(path: PathBuf, connection: Connection) -> Self {
        let idle = Arc::new(Mutex::new(vec![connection]));
        Self { path, open: schema::open_alone, files: None, idle, turns: Arc::new(Semaphore::new(1)) }
    }

    /// Runs a read on a thread where blocking is allowed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.run_for(|connection, _| read(connection)).await
    }

    /// Runs a read that may take long, and looks now and then whether anybody still waits for it.
    pub(super) async fn run_for<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Caller) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::Unavailable("it is shutting down".to_owned());
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| gone())?;
        let idle = self.idle.clone();
        let (path, open, files) = (self.path.clone(), self.open, self.files.clone());
        let waits = Arc::new(());
        let caller = Caller(Arc::downgrade(&waits));
        let work = move || {
            // Kept by the work itself: who asked may have gone, and the read still runs.
            let _turn = turn;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => {
                    // Before, because SQLite deletes the commits beside an empty log.
                    let check = || files.as_ref().map_or(Ok(()), |files| files.check());
                    check().map_err(Error::Unavailable)?;
                    let connection = open(&path)?;
                    check().map_err(Error::Unavailable)?;
                    connection
                }
            };
            let result = read(&connection, &caller);
            // A connection that failed may be why; the next read opens another.
            if !matches!(result, Err(Failure::Sqlite(_))) {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            result.map_err(|failure| failure.at(&path))
        };
        let done = tokio::task::spawn_blocking(work).await;
        drop(waits);
        done.map_err(|_| gone())?
    }
}

/// Whether the caller of a read still waits.
pub(super) struct Caller(Weak<()>);

impl Caller {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

const COLUMNS: &str = "checkpoint, stream_id, changeset_id, first_event_id, event_count, timestamp, stream_type, \
                       events, metadata, checksum, trace_context";

/// A row that somebody has damaged is read too: its body says what can't be.
fn changeset(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    let number = |column| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(column)?.try_into().unwrap_or(0)) };
    let bytes = |column| -> rusqlite::Result<&[u8]> { Ok(row.get_ref(column)?.as_bytes()?) };
    let stream_id = String::from_utf8_lossy(bytes(1)?);
    let stream_type = row.get_ref(6)?.as_bytes_or_null()?.map(String::from_utf8_lossy);
    let trace = row.get_ref(10)?.as_bytes_or_null()?.and_then(|bytes| str::from_utf8(bytes).ok());
    let body = StoredBody { events: bytes(7)?, metadata: bytes(8)?, count: number(4)? };
    let (events, metadata) = body.read_checked(&stream_id, row.get(9)?);
    Ok(LogEntry {
        checkpoint: Checkpoint::new(number(0)?),
        changeset: Changeset {
            stream_id: StreamId::stored(&stream_id),
            changeset_id: ChangesetId::new(number(2)?),
            first_event_id: EventId::new(number(3)?),
            events,
            metadata,
            timestamp: Timestamp::from_micros(row.get(5)?),
            stream_type: stream_type.map(|name| StreamType::stored(&name)),
            trace: trace.and_then(TraceContext::from_stored),
        },
    })
}

/// A page of a log that reaches at least to `end`, and where to go on. It is cut short when nobody waits for it.
pub(super) fn log(
    connection: &Connection,
    query: &LogQuery,
    end: Checkpoint,
    caller: &Caller,
) -> Result<(Vec<LogEntry>, Checkpoint), Failure> {
    let sql = format!("SELECT {COLUMNS} FROM changesets WHERE checkpoint >= ?1 ORDER BY checkpoint");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([query.from.get()])?;
    let mut found: Vec<LogEntry> = Vec::with_capacity(query.limit.min(1_000));
    let mut next = query.from;
    let mut bytes = 0;
    let (mut passed_over, mut passed_bytes) = (0, 0);
    let (filter, started) = (query.filter.matcher(), Instant::now());
    let in_bounds = |rows, bytes| {
        rows < SCAN_ROWS_MAX && bytes < SCAN_BYTES_MAX && (rows == 0 || started.elapsed() < SCAN_TIME_MAX)
    };
    while found.len() < query.limit.max(1) && in_bounds(passed_over, passed_bytes) && !caller.is_gone() {
        let Some(row) = rows.next()? else {
            // What is missing before the end was deleted: nothing else takes its place.
            next = next.max(end);
            break;
        };
        let indexed = changeset(row)?;
        let checkpoint = indexed.checkpoint;
        if !query.filter.is_all() && !filter.accepts(&indexed) {
            passed_over += 1;
            passed_bytes += indexed.size_bytes();
        } else {
            bytes += indexed.size_bytes() + OVERHEAD_BYTES;
            if bytes > query.max_bytes && !found.is_empty() {
                break;
            }
            found.push(indexed);
        }
        next = checkpoint.next();
    }
    Ok((found, next))
}

/// A page of a stream.
pub(super) fn stream(connection: &Connection, query: StreamQuery) -> Result<StreamPage, Failure> {
    // One snapshot for the statements below.
    let snapshot = connection.unchecked_transaction()?;
    let Some(last) = last_changeset(&snapshot, &query.stream_id)? else {
        return Err(Failure::Answer(Error::StreamNotFound(query.stream_id)));
    };
    let (from, to) = match query.range {
        range if range.is_empty() => return Ok(StreamPage::default()),
        StreamRange::Changesets { from, to } => (from, to.unwrap_or(ChangesetId::MAX)),
        StreamRange::Events { from, to } => {
            let holding = |event| changeset_holding(&snapshot, &query.stream_id, last, event);
            (holding(from)?, to.map_or(Ok(ChangesetId::MAX), holding)?)
        }
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM changesets WHERE stream_id = ?1 AND changeset_id BETWEEN ?2 AND ?3
         ORDER BY changeset_id"
    );
    let mut statement = snapshot.prepare_cached(&sql)?;
    let range = params![query.stream_id.as_str(), from.get(), to.get()];
    let mut rows = statement.query(range)?;
    let mut page = StreamPage::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let LogEntry { changeset, .. } = changeset(row)?;
        bytes += changeset.size_bytes() + OVERHEAD_BYTES;
        let full = page.changesets.len() >= query.limit || bytes > query.max_bytes;
        if full && !page.changesets.is_empty() {
            page.next = Some(changeset.changeset_id);
            break;
        }
        page.changesets.push(changeset);
    }
    Ok(page)
}

fn last_changeset(connection: &Connection, stream_id: &StreamId) -> rusqlite::Result<Option<ChangesetId>> {
    let mut last =
        connection.prepare_cached("SELECT max(changeset_id) FROM changesets WHERE stream_id = ?1")?;
    let last: Option<u64> = last.query_row([stream_id.as_str()], |row| row.get(0))?;
    Ok(last.map(ChangesetId::new))
}

/// The changeset that holds an event; past the last one when the stream is not that far.
///
/// Both numbers count without gaps, so halving finds it in a few steps, and no second index slows every
/// commit.
fn changeset_holding(
    connection: &Connection,
    stream_id: &StreamId,
    last: ChangesetId,
    event: EventId,
) -> rusqlite::Result<ChangesetId> {
    if event == EventId::NONE {
        return Ok(ChangesetId::NONE);
    }
    let mut first_event = connection
        .prepare_cached("SELECT first_event_id FROM changesets WHERE stream_id = ?1 AND changeset_id = ?2")?;
    let mut last_event = connection.prepare_cached(
        "SELECT first_event_id + event_count - 1 FROM changesets WHERE stream_id = ?1 AND changeset_id = ?2",
    )?;
    let newest: u64 = last_event.query_row(params![stream_id.as_str(), last.get()], |row| row.get(0))?;
    if event.get() > newest {
        return Ok(last.next());
    }
    // A changeset has at least one event, so its number is never above theirs.
    let (mut low, mut high) = (1, last.get().min(event.get()));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let first: u64 = first_event.query_row(params![stream_id.as_str(), middle], |row| row.get(0))?;
        if first <= event.get() {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(ChangesetId::new(low))
}

pub(super) fn locate(
    connection: &Connection,
    stream_id: &StreamId,
    changeset_id: ChangesetId,
) -> Result<Option<Checkpoint>, Failure> {
    let mut find = connection
        .prepare_cached("SELECT checkpoint FROM changesets WHERE stream_id = ?1 AND changeset_id = ?2")?;
    let found: Option<u64> =
        find.query_row(params![stream_id.as_str(), changeset_id.get()], |row| row.get(0)).optional()?;
    Ok(found.map(Checkpoint::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Options, Store};
    use crate::{Commit, EventStore, Events, Expectation, Filter};

    /// A log of ten changesets, with one connection to read it.
    async fn log_of_ten(path: &Path) -> Store {
        let store = Store::open_with(path, Options { readers: 1, ..Options::default() }).unwrap();
        for number in 0..10 {
            let events = Events::parse("[{\"type\": \"opened\"}]").unwrap();
            let stream_id = format!("s{number}").parse().unwrap();
            store.commit(Commit::new(stream_id, Expectation::NewStream, events)).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn a_scan_stops_when_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let _store = log_of_ten(&path).await;
        let connection = schema::open_reader(&path).unwrap();
        let filter = Filter { event_types: vec!["closed".to_owned()], ..Filter::default() };
        let query = LogQuery::from(Checkpoint::START, 10).with_filter(filter);
        let end = Checkpoint::new(10);
        let waits = Arc::new(());
        let caller = Caller(Arc::downgrade(&waits));
        let next =
            |caller| log(&connection, &query, end, caller).map_err(|failure| failure.at(&path)).unwrap().1;
        assert_eq!(next(&caller), end);
        drop(waits);
        assert_eq!(next(&caller), Checkpoint::START);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_read_that_was_given_up_is_told_so_and_makes_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = log_of_ten(&folder.path().join("log.db")).await;
        let (began, begins) = tokio::sync::oneshot::channel();
        let long = store.readers.run_for(move |_, caller| {
            let _ = began.send(());
            while !caller.is_gone() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        tokio::select! {
            _ = long => unreachable!("it goes on until it is given up"),
            began = begins => began.unwrap(),
        }
        let stream_id = "s1".parse().unwrap();
        let tail = store.tail(&stream_id);
        let tail = tokio::time::timeout(Duration::from_secs(10), tail).await.expect("its turn comes");
        assert_eq!(tail.unwrap().last_changeset.get(), 1);
    }
}
