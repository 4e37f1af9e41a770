//! The embedded store: one SQLite file, one writer with group commit, and readers that never wait for it.
//!
//! - [`Store`] opens the file and implements both traits; [`Options`] are its settings.
//! - `writer` is the only thread that appends: concurrent commits share a transaction and an fsync.
//! - `reader` is a pool of connections that see the last committed state.
//! - `head` knows where the log ends.
//! - `by_type` keeps the streams of each type in the order of their last changesets.
//! - `schema` is what the file holds, by version; `file` looks after the file itself, and `lock` keeps a second
//!   writing process out.
//! - [`backup`] backs up a log while it is in use; [`check_keys`] checks its idempotency keys, and
//!   [`add_checksums`] adds checksums to old changesets.

mod backup;
mod belonging;
mod by_type;
mod check;
mod error;
mod file;
mod folder;
mod head;
mod keys;
mod lock;
#[cfg(test)]
mod models;
mod options;
mod reader;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use crate::spans::{self, Span};
use crate::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogHead, LogPage, LogQuery,
    Result, StoreFigures, StreamId, StreamPage, StreamQuery, Tail, TypePage, TypeQuery,
};

pub use backup::backup;
pub use check::{add_checksums, check_keys};
use file::OpenFiles;
use head::Head;
use lock::Lock;
pub use options::{Durability, Options};
use reader::Readers;
use writer::Writer;

/// What OpenTelemetry calls this database.
const SYSTEM: &str = "sqlite";

/// An event store in one SQLite file.
///
/// The default for one machine: nothing to install, and every acknowledged commit is on disk. One process
/// writes; a second one that opens the same file gets an error. Reads run concurrently with the writer and
/// never wait for it.
///
/// ```
/// use ees_store::{Commit, EventStore, Events, Expectation, sqlite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let store = sqlite::Store::open(folder.path().join("log.db"))?;
/// let opened = Events::parse(r#"[{"type": "opened"}]"#)?;
/// store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Store {
    /// Closed before the writer: SQLite folds the `-wal` file into the log when the last connection closes,
    /// if that one may write.
    readers: Readers,
    writer: Writer,
    head: Head,
    limit_bytes: usize,
}

impl Store {
    /// Opens the log in this file, and creates it if it does not exist.
    ///
    /// On a disk that is full it can be read, but takes no commits until it is opened again.
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`], [`LogMissing`](Error::LogMissing), [`NewerVersion`](Error::NewerVersion),
    /// [`Damaged`](Error::Damaged), [`Unavailable`](Error::Unavailable) when another program has locked it, or
    /// [`Storage`](Error::Storage), each with the path of the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the log in this file with your own settings.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = file::resolve(path.as_ref())?;
        let lock = Lock::take(&path)?;
        file::check_not_lost(&path)?;
        belonging::check(&path)?;
        file::create(&path)?;
        match schema::open(&path, options) {
            Ok(connection) => Self::writing(&path, lock, connection, options),
            Err(Error::Unavailable(why)) => match schema::open_alone(&path) {
                Ok(connection) => Self::reading(path, lock, connection, options, &why),
                Err(_) => Err(Error::Unavailable(why)),
            },
            Err(error) => Err(error),
        }
    }

    fn writing(path: &Path, lock: Lock, connection: Connection, options: Options) -> Result<Self> {
        let log_id = schema::log_id(&connection, path)?;
        let files = Arc::new(OpenFiles::of(path)?);
        let readers = Readers::new(path.to_owned(), files.clone(), options.readers);
        readers.open_first()?;
        let writer = Writer::start(connection, lock, files.clone(), path, options)?;
        let head = Head::new(log_id, writer.written(), Some(files));
        Ok(Self { readers, writer, head, limit_bytes: options.limit_bytes })
    }

    /// For as long as there is no room to write.
    fn reading(
        path: PathBuf,
        lock: Lock,
        connection: Connection,
        options: Options,
        why: &str,
    ) -> Result<Self> {
        tracing::error!("{why}; the log can be read, but takes no commits until it is opened again");
        let log_id = schema::log_id(&connection, &path)?;
        let next = schema::head(&connection).map_err(|failure| failure.at(&path))?;
        let readers = Readers::alone(path, connection);
        let writer = Writer::refusing(next, lock, format!("{why}, when the log was opened; open it again"));
        let head = Head::new(log_id, writer.written(), None);
        Ok(Self { readers, writer, head, limit_bytes: options.limit_bytes })
    }
}

#[async_trait]
impl EventStore for Store {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        spans::commit(commit, SYSTEM, async |commit, span| {
            self.writer.submit(commit, span).await?.verdict().await
        })
        .await
    }

    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        let mut pending = Vec::with_capacity(commits.len());
        for commit in commits {
            pending.push(self.writer.submit(commit, Span::default()).await);
        }
        let mut verdicts = Vec::with_capacity(pending.len());
        for submitted in pending {
            verdicts.push(match submitted {
                Ok(submitted) => submitted.verdict().await,
                Err(error) => Err(error),
            });
        }
        verdicts
    }

    fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn figures(&self) -> Option<StoreFigures> {
        Some(StoreFigures::of_writer(self.writer.figures()))
    }

    async fn check_writable(&self) -> Result<()> {
        self.head.check_grows()
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.readers.run(move |connection| reader::stream(connection, query)).await
    }

    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        let stream_id = stream_id.clone();
        self.readers.run(move |connection| Ok(writer::read_tail(connection, &stream_id)?)).await
    }

    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        self.readers.run(move |connection| by_type::page(connection, &query)).await
    }
}

#[async_trait]
impl ChangesetLog for Store {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let from = query.from;
        if self.head.known().checkpoint <= from {
            if query.wait.is_zero() {
                return Ok(self.head.page(from, Vec::new(), from));
            }
            // Whatever has arrived by then is read.
            let _ = tokio::time::timeout(query.wait, self.head.wait_past(from)).await;
        }
        let end = self.head.known().checkpoint;
        let (changesets, next) = self
            .readers
            .run_for(move |connection, caller| reader::log(connection, &query, end, caller))
            .await?;
        Ok(self.head.page(from, changesets, next))
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        let stream_id = stream_id.clone();
        self.readers.run(move |connection| reader::locate(connection, &stream_id, changeset_id)).await
    }

    async fn head(&self) -> Result<LogHead> {
        let end = self.readers.run(schema::head).await?;
        Ok(self.head.reached(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Events, Expectation};

    /// A limit on the file stands for the disk: SQLite reports the same.
    #[tokio::test]
    async fn on_a_full_disk_commits_are_to_be_retried_and_reads_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let lock = Lock::take(&path).unwrap();
        let connection = schema::open(&path, Options::default()).unwrap();
        connection.pragma_update(None, "max_page_count", 60).unwrap();
        let store = Store::writing(&path, lock, connection, Options::default()).unwrap();
        let commit = |number: u64| {
            let events = Events::parse(&format!("[\"{}\"]", "x".repeat(20_000))).unwrap();
            Commit::new(format!("s{number}").parse().unwrap(), Expectation::NewStream, events)
        };
        let mut stored = 0;
        let error = loop {
            match store.commit(commit(stored)).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, Error::Unavailable(why) if why.contains("full")), "{error}");
        assert!(stored > 0 && matches!(store.check_writable().await, Err(Error::Unavailable(_))), "{stored}");
        assert_eq!(store.head().await.unwrap().checkpoint.get(), stored);
        let page = store.read(LogQuery::from(Checkpoint::START, 100)).await.unwrap();
        assert_eq!(page.changesets.len() as u64, stored);

        let other = Connection::open(&path).unwrap();
        other.execute_batch("DELETE FROM changesets WHERE checkpoint < 3").unwrap();
        while store.check_writable().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        store.commit(commit(stored)).await.unwrap();
    }
}
