//! The one thread that appends. Commits that wait at the same time share a transaction and an fsync.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lru::LruCache;
use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::by_type::Mover;
use super::error::{at_path, failed};
use super::file::OpenFiles;
use super::folder::Folder;
use super::head::Written;
use super::keys::Keys;
use super::lock::Lock;
use super::{Options, SYSTEM, schema};
use crate::decide::{Refusal, Tail, decide};
use crate::quarantine::checksum;
use crate::spans::{self, Span};
use crate::{
    Changeset, ChangesetId, Checkpoint, Commit, Committed, Error, EventId, Result, StreamId, StreamType,
    Timestamp, TraceContext, WriterFigures,
};

/// Commits in one transaction, at most.
const BATCH_COMMITS_MAX: usize = 1_024;
/// How long a batch may wait to become as large as the last one.
const GATHER_MAX: Duration = Duration::from_micros(200);
/// How often the writer tries whether the file takes something again.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// KiB of commits that may wait for the writer; more wait outside, unqueued.
const QUEUE_KIB_MAX: usize = 64 * 1024;
/// Tails of the streams written last, kept in memory: about 10 MB.
const TAILS_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// The face of the writer thread.
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    room: Arc<Semaphore>,
    written: watch::Receiver<Written>,
    figures: Arc<WriterFigures>,
    thread: Option<JoinHandle<()>>,
    /// What a thread owns, where there is none.
    _kept: Option<(watch::Sender<Written>, Lock)>,
}

struct Job {
    commit: Commit,
    span: Span,
    reply: oneshot::Sender<Result<Committed>>,
    _room: OwnedSemaphorePermit,
}

/// A commit that has its place in the queue.
pub(super) struct Submitted {
    reply: oneshot::Receiver<Result<Committed>>,
    written: watch::Receiver<Written>,
}

impl Submitted {
    pub(super) async fn verdict(self) -> Result<Committed> {
        self.reply.await.unwrap_or_else(|_| Err(self.written.borrow().refusal()))
    }
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        lock: Lock,
        files: Arc<OpenFiles>,
        path: &Path,
        options: Options,
    ) -> Result<Self> {
        let next = schema::head(&connection).map_err(|failure| failure.at(path))?;
        let keys = Keys::open(&connection, options.keep_keys).map_err(|error| at_path(path, error))?;
        let (jobs, queue) = channel();
        let (publish, written) = watch::channel(Written { next, trouble: None });
        let figures = Arc::new(WriterFigures::with_tails());
        let mut appender = Appender {
            connection,
            next,
            figures: figures.clone(),
            tails: LruCache::new(TAILS_MAX),
            limit_bytes: options.limit_bytes,
            keys,
            publish,
            path: path.to_owned(),
            folder: Folder::of(path),
            files,
            lock,
        };
        let thread = std::thread::Builder::new()
            .name("ees-writer".to_owned())
            .spawn(move || appender.run(&queue))
            .map_err(|e| Error::Storage {
                detail: format!("{}: {e}", path.display()),
                source: Box::new(e),
            })?;
        let room = Arc::new(Semaphore::new(QUEUE_KIB_MAX));
        Ok(Self { jobs: Some(jobs), room, written, figures, thread: Some(thread), _kept: None })
    }

    /// Takes no commits, and says why.
    pub(super) fn refusing(next: Checkpoint, lock: Lock, why: String) -> Self {
        let (publish, written) = watch::channel(Written { next, trouble: Some(why.into()) });
        let room = Arc::new(Semaphore::new(QUEUE_KIB_MAX));
        let figures = Arc::default();
        Self { jobs: None, room, written, figures, thread: None, _kept: Some((publish, lock)) }
    }

    /// How far the writer has written.
    pub(super) fn written(&self) -> watch::Receiver<Written> {
        self.written.clone()
    }

    /// What the writer has done.
    pub(super) fn figures(&self) -> Arc<WriterFigures> {
        self.figures.clone()
    }

    /// Puts a commit into the queue; waits while the queue is full.
    pub(super) async fn submit(&self, commit: Commit, span: Span) -> Result<Submitted> {
        let kib = u32::try_from((commit.size_bytes() / 1024 + 1).min(QUEUE_KIB_MAX)).unwrap_or(u32::MAX);
        let gone = || self.written.borrow().refusal();
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| gone())?;
        let (reply, verdict) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job { commit, span, reply, _room: room }).map_err(|_| gone())?;
        Ok(Submitted { reply: verdict, written: self.written.clone() })
    }
}

impl Drop for Writer {
    /// Waits until what was accepted is on disk and the file is let go of, so that it can be opened again at
    /// once.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Appender {
    connection: Connection,
    /// The checkpoint the next changeset gets.
    next: Checkpoint,
    tails: LruCache<StreamId, Tail>,
    limit_bytes: usize,
    keys: Keys,
    figures: Arc<WriterFigures>,
    publish: watch::Sender<Written>,
    path: PathBuf,
    folder: Folder,
    files: Arc<OpenFiles>,
    lock: Lock,
}

/// Whether any other transaction would fail for the same reason.
fn is_of_the_file(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly, SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseCorrupt
                | DiskFull
                | NotADatabase
                | ReadOnly
                | SystemIoFailure
        )
    )
}

/// Whether all commits of an empty write-ahead log are in the log: then a connection finds none to move there.
fn is_merged(connection: &Connection) -> bool {
    let find = "PRAGMA wal_checkpoint(PASSIVE)";
    connection.query_row(find, [], |row| row.get::<_, i64>(1)).is_ok_and(|commits| commits <= 0)
}

/// What went wrong, without the words for its kind.
fn told(error: &Error) -> Arc<str> {
    match error {
        Error::Unavailable(why) => why.as_str().into(),
        other => other.to_string().into(),
    }
}

type Verdict = Result<Committed, Refusal>;

impl Appender {
    fn run(&mut self, queue: &Receiver<Job>) {
        let mut last_batch = 1;
        // So that a full disk shows before the first commit.
        self.look_for_trouble();
        while let Some(first) = self.next_job(queue) {
            let batch = gather(queue, first, last_batch);
            last_batch = batch.len();
            if let Err(lost) = self.append(batch) {
                tracing::error!("{lost}");
                // Those who wait are told by what was published. What is left is for somebody to look at: closing
                // moves no commit into a file that is not whole.
                let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                return;
            }
            if let Err(error) = self.keys.sweep(&self.connection) {
                tracing::warn!(%error, "failed to delete old idempotency keys; will retry");
            }
        }
        // So that the log is one file again, which can be copied.
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!(%error, "failed to merge the write-ahead log into the log file");
        }
    }

    /// Waits for a commit. While none can be stored, tries whether that is over.
    fn next_job(&mut self, queue: &Receiver<Job>) -> Option<Job> {
        while self.publish.borrow().trouble.is_some() {
            match queue.recv_timeout(TRY_EVERY) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.look_for_trouble(),
            }
        }
        queue.recv().ok()
    }

    /// Says whether the file takes anything, and why not.
    fn look_for_trouble(&mut self) {
        let trouble = self.try_to_write().err().filter(is_of_the_file);
        self.publish(trouble.map(|error| failed(&self.path, &error)).as_ref());
    }

    /// Makes a write that changes nothing.
    fn try_to_write(&mut self) -> rusqlite::Result<()> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        schema::mark(&tx)?;
        tx.commit()
    }

    /// Stores a batch and answers each of its commits. When the batch fails as a whole, each commit gets a
    /// transaction of its own, so that it does not suffer for its neighbours. Fails when the log is lost.
    fn append(&mut self, batch: Vec<Job>) -> Result<(), Error> {
        self.check_own()?;
        let group = spans::group(SYSTEM, || batch.iter().map(|job| (&job.commit, &job.span)));
        let stored = self.transaction(&batch);
        group.end();
        match stored {
            Ok(verdicts) => self.answer(batch, verdicts),
            Err(error) => {
                tracing::error!(%error, commits = batch.len(), "failed to store commits");
                self.append_singly(batch, &error)
            }
        }
    }

    /// Fails when another process has the log by now, or a file of it was taken away.
    fn check_own(&mut self) -> Result<(), Error> {
        let Self { connection, lock, files, folder, .. } = self;
        let names = || lock.keep().and_then(|()| files.check_beside().map_err(Error::Unavailable));
        // The sizes each time: no name changes with them.
        let sizes = || files.check_log().and_then(|()| files.check_wal(|| is_merged(connection)));
        let own = folder.check(names).and_then(|()| sizes().map_err(Error::Unavailable));
        own.inspect_err(|lost| self.publish.send_modify(|written| written.trouble = Some(told(lost))))
    }

    fn append_singly(&mut self, batch: Vec<Job>, error: &rusqlite::Error) -> Result<(), Error> {
        if batch.len() > 1 && !is_of_the_file(error) {
            self.figures.retries.fetch_add(1, Relaxed);
            return batch.into_iter().try_for_each(|job| self.append(vec![job]));
        }
        if is_of_the_file(error) {
            self.publish(Some(&failed(&self.path, error)));
        }
        for job in batch {
            let _ = job.reply.send(Err(failed(&self.path, error)));
        }
        Ok(())
    }

    /// No verdict leaves before this: a refusal too may rest on a neighbour's changeset in the same
    /// transaction. And none leaves when the transaction went into a file that others don't find any more.
    fn answer(&mut self, batch: Vec<Job>, verdicts: Vec<Verdict>) -> Result<(), Error> {
        self.check_own()?;
        self.publish(None);
        for (job, verdict) in batch.into_iter().zip(verdicts) {
            let _ = job.reply.send(verdict.map_err(Error::from));
        }
        Ok(())
    }

    /// Says how far the log goes, and why it does not go on.
    fn publish(&self, trouble: Option<&Error>) {
        let trouble = trouble.map(told);
        self.publish.send_if_modified(|written| {
            let is_news = written.next != self.next || written.trouble != trouble;
            *written = Written { next: self.next, trouble };
            is_news
        });
    }

    fn transaction(&mut self, batch: &[Job]) -> rusqlite::Result<Vec<Verdict>> {
        let before = self.next;
        let result = self.try_transaction(batch);
        if result.is_err() {
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            // What was decided rests on changesets that are not there. And others may be, which a process wrote
            // that has the log no more.
            self.tails.clear();
            self.next = schema::head(&self.connection).map_or(before, |next| next.max(before));
        }
        result
    }

    fn try_transaction(&mut self, batch: &[Job]) -> rusqlite::Result<Vec<Verdict>> {
        let Self { connection, next, tails, limit_bytes, keys, figures, .. } = self;
        let (begun, first) = (Instant::now(), *next);
        let (mut events, mut tails_wanted, mut tails_read) = (0, 0, 0);
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO changesets (checkpoint, stream_id, changeset_id, first_event_id, event_count, timestamp,
                stream_type, events, metadata, checksum, trace_context)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let mut mover = Mover::prepare(connection)?;
        let mut verdicts = Vec::with_capacity(batch.len());
        for Job { commit, .. } in batch {
            let digest = commit.idempotency_key.as_ref().map(|key| key.digest(&commit.stream_id));
            if let Some(digest) = &digest
                && let Some(verdict) = keys.repeat(connection, commit, digest)?
            {
                verdicts.push(verdict);
                continue;
            }
            tails_wanted += 1;
            let tail = tails.try_get_or_insert_mut(commit.stream_id.clone(), || {
                tails_read += 1;
                read_tail(connection, &commit.stream_id)
            })?;
            verdicts.push(match decide(tail, commit, *limit_bytes, Timestamp::now()) {
                Err(refusal) => Err(refusal),
                Ok(changeset) => {
                    store(&mut insert, *next, &changeset)?;
                    mover.appended(tail, &changeset)?;
                    if let Some(digest) = &digest {
                        keys.insert(connection, digest, *next)?;
                    }
                    *tail = Tail::after(&changeset);
                    events += changeset.events.count();
                    let checkpoint = Some(*next);
                    *next = next.next();
                    Ok(Committed { changeset_id: changeset.changeset_id, checkpoint })
                }
            });
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        figures.wrote(batch.len(), begun.elapsed(), next.get() - first.get(), events);
        if let Some(tails) = &figures.tails {
            tails.hits.fetch_add(tails_wanted - tails_read, Relaxed);
            tails.misses.fetch_add(tails_read, Relaxed);
        }
        Ok(verdicts)
    }
}

/// Waits a moment for a batch as large as the last one: under load that many are on their way, and alone
/// nobody waits.
fn gather(queue: &Receiver<Job>, first: Job, last_batch: usize) -> Vec<Job> {
    let mut batch = Vec::with_capacity(last_batch.max(1));
    batch.push(first);
    let until = Instant::now() + GATHER_MAX;
    while batch.len() < BATCH_COMMITS_MAX {
        match queue.try_recv() {
            Ok(job) => batch.push(job),
            Err(_) if batch.len() >= last_batch => break,
            Err(_) => match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(job) => batch.push(job),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            },
        }
    }
    batch
}

fn store(
    insert: &mut CachedStatement<'_>,
    checkpoint: Checkpoint,
    changeset: &Changeset,
) -> rusqlite::Result<()> {
    insert.execute(params![
        checkpoint.get(),
        changeset.stream_id.as_str(),
        changeset.changeset_id.get(),
        changeset.first_event_id.get(),
        changeset.events.count(),
        changeset.timestamp.as_micros(),
        changeset.stream_type.as_ref().map(StreamType::as_str),
        changeset.events.as_stored(),
        changeset.metadata_as_stored(),
        checksum(&changeset.stream_id, &changeset.events, &changeset.metadata),
        changeset.trace.as_ref().map(TraceContext::as_stored),
    ])?;
    Ok(())
}

pub(super) fn read_tail(connection: &Connection, stream_id: &StreamId) -> rusqlite::Result<Tail> {
    let mut last = connection.prepare_cached(
        "SELECT changeset_id, first_event_id + event_count - 1, timestamp, stream_type
         FROM changesets WHERE stream_id = ?1 ORDER BY changeset_id DESC LIMIT 1",
    )?;
    let tail = last.query_row([stream_id.as_str()], |row| {
        Ok(Tail {
            last_changeset: ChangesetId::new(row.get(0)?),
            last_event: EventId::new(row.get(1)?),
            last_timestamp: Timestamp::from_micros(row.get(2)?),
            stream_type: row.get_ref(3)?.as_str_or_null()?.map(StreamType::stored),
        })
    });
    Ok(tail.optional()?.unwrap_or_default())
}
