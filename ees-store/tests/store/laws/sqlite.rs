//! The embedded store keeps the laws.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ees_store::laws::{Capabilities, Subject};
use ees_store::sqlite::Store;
use ees_store::{ChangesetId, ChangesetLog, EventStore, StreamId};

struct Sqlite {
    folder: tempfile::TempDir,
    store: Arc<Store>,
}

impl Sqlite {
    fn open(folder: tempfile::TempDir) -> Self {
        let store = Arc::new(Store::open(file_in(folder.path())).unwrap());
        Self { folder, store }
    }
}

impl Subject for Sqlite {
    const CAPABILITIES: Capabilities = Capabilities { keeps_checksums: true, ..Capabilities::ALL };

    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    fn log(&self) -> Arc<dyn ChangesetLog> {
        self.store.clone()
    }

    async fn reopen(self) -> Self {
        let Self { folder, store } = self;
        drop(store);
        Self::open(folder)
    }

    async fn crash(self) -> Self {
        Self::open(as_after_a_kill(self.folder.path()))
    }

    async fn erase(&self, checkpoints: Range<u64>) -> bool {
        erase(&file_in(self.folder.path()), checkpoints);
        true
    }

    async fn replace_events(&self, stream_id: &StreamId, changeset_id: ChangesetId, events: &str) -> bool {
        replace_events(&file_in(self.folder.path()), stream_id, changeset_id, events);
        true
    }
}

/// Deletes changesets by hand.
pub(crate) fn erase(file: &Path, Range { start, end }: Range<u64>) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let sql = "DELETE FROM changesets WHERE checkpoint >= ?1 AND checkpoint < ?2";
    assert_eq!(connection.execute(sql, [start, end]).unwrap() as u64, end - start);
}

/// As somebody with the `sqlite3` command.
pub(crate) fn replace_events(path: &Path, stream_id: &StreamId, changeset_id: ChangesetId, events: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let replace = "UPDATE changesets SET events = ?1 WHERE stream_id = ?2 AND changeset_id = ?3";
    let given = rusqlite::params![events, stream_id.as_str(), changeset_id.get()];
    assert_eq!(connection.execute(replace, given).unwrap(), 1);
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("log.db")
}

/// The files as they are at this moment, in a folder of their own.
///
/// Taken again when SQLite moved the write-ahead log into the file meanwhile: a dead process leaves them as
/// they were at one moment, not at two.
fn as_after_a_kill(folder: &Path) -> tempfile::TempDir {
    let file = file_in(folder);
    let wal = folder.join("log.db-wal");
    let (main, log) = loop {
        let before = (std::fs::read(&file).unwrap(), std::fs::read(&wal).unwrap());
        let after = (std::fs::read(&file).unwrap(), std::fs::read(&wal).unwrap());
        let header = |wal: &[u8]| wal.get(..32).map(<[u8]>::to_vec);
        if before.0 == after.0 && header(&before.1) == header(&after.1) {
            break before;
        }
    };
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(file_in(copy.path()), main).unwrap();
    std::fs::write(copy.path().join("log.db-wal"), log).unwrap();
    copy
}

ees_store::store_laws!(Sqlite);
