//! The embedded store keeps the laws.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use ees_store::laws::{Capabilities, Subject};
use ees_store::{ChangesetLog, EventStore, sqlite};
use tempfile::TempDir;

struct Sqlite {
    store: Arc<sqlite::Store>,
    folder: TempDir,
}

impl Sqlite {
    fn open(folder: TempDir) -> Self {
        let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
        Self { store, folder }
    }
}

impl Subject for Sqlite {
    const CAPABILITIES: Capabilities = Capabilities::ALL;

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
        let Self { store, folder } = self;
        assert!(Arc::into_inner(store).is_some(), "the law still holds the store");
        Self::open(folder)
    }

    async fn crash(self) -> Self {
        let after = tempfile::tempdir().unwrap();
        copy_as_a_crash_leaves_it(self.folder.path(), after.path());
        Self::open(after)
    }
}

/// Log before WAL: what a commit adds to the WAL in between is in the copy of the WAL. Until the store has put the
/// WAL back into the log (at 40 MB), that is what a crash at one moment leaves.
fn copy_as_a_crash_leaves_it(from: &Path, to: &Path) {
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

ees_store::store_laws!(Sqlite);
