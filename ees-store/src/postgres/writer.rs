//! The one task that appends. Commits that wait at the same time share a transaction and an fsync.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::SYSTEM;
use super::append::{Answer, answer, call};
use super::batch::{Batch, COMMITS_MAX, Waiting};
use super::error::{Fate, failed, told};
use super::head::Head;
use super::options::Options;
use super::server::{Server, begin, in_time};
use super::verdict::verdicts;
use crate::decide::Refusal;
use crate::spans::{self, Span};
use crate::{Commit, Committed, Error, Result, Timestamp, WriterFigures};

/// How long a batch may wait to become as large as the last one.
const GATHER_MAX: Duration = Duration::from_micros(200);
/// A connection that was not used for so long is tried before it is trusted with a commit.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// KiB of commits that may wait for the writer; more wait outside, unqueued.
const QUEUE_KIB_MAX: usize = 64 * 1024;

/// The face of the writer task.
pub(super) struct Writer {
    jobs: mpsc::UnboundedSender<Job>,
    room: Arc<Semaphore>,
    limit_bytes: usize,
    patience: Duration,
    figures: Arc<WriterFigures>,
}

struct Job {
    commit: Commit,
    span: Span,
    digest: Option<[u8; 32]>,
    in_order: bool,
    since: Instant,
    reply: oneshot::Sender<Result<Committed>>,
    _room: OwnedSemaphorePermit,
}

impl Waiting for Job {
    fn commit(&self) -> &Commit {
        &self.commit
    }
    fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }
    fn in_order(&self) -> bool {
        self.in_order
    }
}

/// A commit that has its place in the queue.
pub(super) struct Submitted(oneshot::Receiver<Result<Committed>>);

impl Submitted {
    pub(super) async fn verdict(self) -> Result<Committed> {
        self.0.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Error {
    Error::Unavailable("its writer has stopped".to_owned())
}

impl Writer {
    pub(super) fn start(server: Server, connection: PgConnection, head: Arc<Head>, options: Options) -> Self {
        let Options { limit_bytes, patience, .. } = options;
        let (jobs, queue) = mpsc::unbounded_channel();
        let figures = Arc::<WriterFigures>::default();
        let appender = Appender {
            figures: figures.clone(),
            server,
            connection: Some((connection, Instant::now())),
            head,
            limit_bytes,
            queue: VecDeque::new(),
            singly: 0,
            delays: None,
            patience,
        };
        tokio::spawn(appender.run(queue));
        Self { jobs, room: Arc::new(Semaphore::new(QUEUE_KIB_MAX)), limit_bytes, patience, figures }
    }

    /// What the writer has done.
    pub(super) fn figures(&self) -> Arc<WriterFigures> {
        self.figures.clone()
    }

    /// Puts a commit into the queue; waits while the queue is full.
    pub(super) async fn submit(&self, commit: Commit, span: Span, in_order: bool) -> Result<Submitted> {
        let (size_bytes, limit_bytes) = (commit.size_bytes(), self.limit_bytes);
        if size_bytes > limit_bytes {
            return Err(Refusal::TooLarge { size_bytes, limit_bytes }.into());
        }
        let kib = u32::try_from((size_bytes / 1024 + 1).min(QUEUE_KIB_MAX)).unwrap_or(u32::MAX);
        let room = tokio::time::timeout(self.patience, self.room.clone().acquire_many_owned(kib));
        let room = room.await.map_err(|_| Error::Overloaded)?.map_err(|_| gone())?;
        let digest = commit.idempotency_key.as_ref().map(|key| key.digest(&commit.stream_id));
        let (reply, verdict) = oneshot::channel();
        let job = Job { commit, span, digest, in_order, since: Instant::now(), reply, _room: room };
        self.jobs.send(job).map_err(|_| gone())?;
        Ok(Submitted(verdict))
    }
}

/// What the task owns.
struct Appender {
    figures: Arc<WriterFigures>,
    server: Server,
    /// With the time it was last used.
    connection: Option<(PgConnection, Instant)>,
    head: Arc<Head>,
    limit_bytes: usize,
    queue: VecDeque<Job>,
    /// This many at the front are stored one by one: they failed together, and none shall fail because of
    /// another one.
    singly: usize,
    /// The pauses while the server can't take anything.
    delays: Option<ExponentialBackoff>,
    /// How long a commit is tried again while it goes on.
    patience: Duration,
}

impl Appender {
    /// Goes on until the store is dropped and everything that was accepted is answered.
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut last = 1;
        loop {
            if self.queue.is_empty() {
                match jobs.recv().await {
                    Some(job) => self.queue.push_back(job),
                    None => return,
                }
            }
            self.gather(&mut jobs, last).await;
            let now = Timestamp::now();
            let batch = match self.queue.pop_front() {
                Some(job) if self.singly > 0 => Batch::single(job, now),
                Some(job) => {
                    self.queue.push_front(job);
                    Batch::form(&mut self.queue, now)
                }
                None => continue,
            };
            self.singly = self.singly.saturating_sub(1);
            last = batch.jobs.len();
            if let Err(failed) = self.append(batch).await {
                self.wait(&failed).await;
            }
        }
    }

    /// Waits a moment for a batch as large as the last one: under load that many are on their way, and alone
    /// nobody waits. A timer would be five times too coarse.
    async fn gather(&mut self, jobs: &mut mpsc::UnboundedReceiver<Job>, last: usize) {
        let until = Instant::now() + GATHER_MAX;
        while self.queue.len() < COMMITS_MAX {
            match jobs.try_recv() {
                Ok(job) => self.queue.push_back(job),
                Err(_) if self.queue.len() >= last || Instant::now() >= until => return,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Stores a batch and answers its commits; those that have to be tried again are put back. Fails when
    /// that should wait for a while.
    async fn append(&mut self, batch: Batch<Job>) -> Result<(), sqlx::Error> {
        let (begun, commits) = (Instant::now(), batch.jobs.len());
        let group = spans::group(SYSTEM, || batch.jobs.iter().map(|job| (&job.commit, &job.span)));
        let stored = self.transaction(&batch).await;
        group.end();
        let Failed { fate, error } = match stored {
            Ok(answer) => {
                self.delays = None;
                self.settle(batch, &answer, begun.elapsed());
                return Ok(());
            }
            Err(failed) => failed,
        };
        match fate {
            Fate::Never if commits > 1 => {
                tracing::error!(%error, commits, "failed to store a batch of commits; storing them one by one");
                self.figures.retries.fetch_add(1, Relaxed);
                self.put_back(batch.jobs);
                self.singly = commits;
                return Ok(());
            }
            Fate::Never => {
                tracing::error!(%error, "failed to store a commit");
                if let Some(job) = batch.jobs.into_iter().next() {
                    let _ = job.reply.send(Err(failed(error)));
                }
                return Ok(());
            }
            Fate::NotYet | Fate::Unknown => {
                match fate {
                    Fate::Unknown => {
                        tracing::warn!(%error, commits, "lost the connection in the middle of a commit");
                    }
                    _ => tracing::warn!(%error, commits, "failed to store commits; will retry"),
                }
                let (again, unknown) =
                    batch.jobs.into_iter().partition(|job| fate.lets_repeat(job.digest.is_some()));
                self.figures.retries.fetch_add(1, Relaxed);
                self.put_back(again);
                answer_all(unknown, "the connection was lost in the middle of the commit");
            }
        }
        Err(error)
    }

    /// Pauses; then fails the commits that have waited for too long, and says why.
    async fn wait(&mut self, error: &sqlx::Error) {
        let delays = self.delays.get_or_insert_with(|| {
            ExponentialBuilder::new()
                .with_min_delay(Duration::from_millis(20))
                .with_max_delay(Duration::from_secs(1))
                .with_jitter()
                .without_max_times()
                .build()
        });
        tokio::time::sleep(delays.next().unwrap_or_default()).await;
        let (late, waiting) = self.queue.drain(..).partition(|job| job.since.elapsed() > self.patience);
        self.queue = waiting;
        answer_all(late, &format!("PostgreSQL accepts no commits: {}", told(error)));
    }

    fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.queue.push_front(job);
        }
    }

    async fn transaction(&mut self, batch: &Batch<Job>) -> Result<Answer, Failed> {
        let mut connection = self.connect().await.map_err(Failed::before_sending)?;
        // To the end of the answer: only then has the server committed.
        let rows = if self.server.pooled {
            let mut tx = in_time(begin(&mut connection, true)).await.map_err(Failed::before_sending)?;
            let calling = async {
                let rows = call(batch).fetch_all(&mut *tx).await?;
                tx.commit().await?;
                Ok(rows)
            };
            in_time(calling).await.map_err(Failed::of)?
        } else {
            in_time(call(batch).fetch_all(&mut connection)).await.map_err(Failed::of)?
        };
        // After any failure another one: it may lead to another server by now.
        self.connection = Some((connection, Instant::now()));
        rows.first().map_or(Err(sqlx::Error::RowNotFound), |row| answer(batch, row)).map_err(Failed::of)
    }

    /// The connection of the last transaction, or a new one. One that was idle may have gone with its server:
    /// that shall not cost a commit without a key.
    async fn connect(&mut self) -> sqlx::Result<PgConnection> {
        if let Some((mut connection, used)) = self.connection.take()
            && (used.elapsed() < IDLE_MAX || in_time(connection.ping()).await.is_ok())
        {
            return Ok(connection);
        }
        self.server.connect().await
    }

    /// Each commit gets its verdict, refusals included, now that the transaction is committed: a refusal too
    /// may rest on a neighbour's changeset in it.
    fn settle(&mut self, batch: Batch<Job>, answer: &Answer, took: Duration) {
        let next = answer.first.plus(answer.appended);
        self.head.wrote(answer.first, next);
        let commits = batch.jobs.iter().zip(&batch.places);
        let stored = commits.filter(|(_, place)| answer.has_appended(place));
        let events = stored.map(|(job, _)| job.commit.events.count()).sum();
        self.figures.wrote(batch.jobs.len(), took, answer.appended, events);
        let verdicts = verdicts(&batch, answer, self.limit_bytes, Timestamp::now());
        let mut again = Vec::new();
        for (job, verdict) in batch.jobs.into_iter().zip(verdicts) {
            match verdict {
                Some(verdict) => _ = job.reply.send(verdict.map_err(Error::from)),
                None => again.push(job),
            }
        }
        self.put_back(again);
    }
}

/// A transaction that failed, and what became of it.
struct Failed {
    fate: Fate,
    error: sqlx::Error,
}

impl Failed {
    fn of(error: sqlx::Error) -> Self {
        Self { fate: Fate::of(&error), error }
    }

    /// Whatever failed, nothing was stored.
    fn before_sending(error: sqlx::Error) -> Self {
        let fate = if Fate::of(&error) == Fate::Never { Fate::Never } else { Fate::NotYet };
        Self { fate, error }
    }
}

fn answer_all(jobs: impl IntoIterator<Item = Job>, why: &str) {
    for job in jobs {
        let _ = job.reply.send(Err(Error::Unavailable(why.to_owned())));
    }
}
