//! A log in SQLite, and a table of SQLite beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ees_projector::sqlite::Database;
use ees_projector::{Projector, Settings};
use ees_store::{Checkpoint, StreamId, sqlite};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::growth::LONG;
use crate::measure::Subject;
use crate::plain_sqlite;
use crate::shared::read::{Balances, catch_up};
use crate::shared::workload::Append;

pub(crate) struct Log {
    folder: TempDir,
    data: PathBuf,
    plain: Connection,
}

impl Log {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let plain = plain_sqlite::log(&folder.path().join("plain.db"));
        Self { folder, data, plain }
    }
}

impl Subject for Log {
    type Store = sqlite::Store;

    async fn open(&self) -> Arc<sqlite::Store> {
        Arc::new(sqlite::Store::open(self.data.join("log.db")).unwrap())
    }

    async fn insert(&mut self, appends: Vec<Append>) {
        plain_sqlite::append(&mut self.plain, appends.into_iter(), 1_000);
    }

    async fn select(&mut self, streams: &[StreamId]) {
        let select = "SELECT events FROM changesets WHERE stream_id = ?1 ORDER BY changeset_id";
        let mut select = self.plain.prepare(select).unwrap();
        for stream in streams {
            let events = select.query_map([stream.as_str()], |row| row.get::<_, String>(0)).unwrap();
            assert_eq!(events.map(Result::unwrap).count() as u64, LONG);
        }
    }

    async fn settle(&mut self) {}

    async fn fold(&self, store: Arc<sqlite::Store>, head: Checkpoint) -> Duration {
        let read_model = tempfile::tempdir_in(&self.folder).unwrap();
        let database = Database::open(read_model.path().join("balances.db")).unwrap();
        let mut projector = Projector::new(store);
        projector.fold(Balances { columns: true }, database, Settings::default()).unwrap();
        catch_up(projector, "balances", head).await
    }

    async fn fold_plainly(&mut self) {
        let read_model = tempfile::tempdir_in(&self.folder).unwrap();
        plain_sqlite::fold(&self.plain, &read_model.path().join("balances.db"));
    }

    fn served(&self) -> (&Path, Vec<String>) {
        (&self.data, Vec::new())
    }
}
