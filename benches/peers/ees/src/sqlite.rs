//! Read models in a SQLite file of their own.

use std::path::PathBuf;

use ees_projector::sqlite::rusqlite::{Connection, OpenFlags, Row};
use ees_projector::{Projector, Settings, sqlite};
use peers_workload::live::Look;
use peers_workload::{EVENTS_AN_APPEND, Task, View};

use crate::ReadModels;
use crate::account::Accounts;

pub(crate) struct Database {
    file: PathBuf,
    database: sqlite::Database,
}

impl Database {
    pub(crate) fn new(task: &Task) -> Self {
        let file = task.folder.join("accounts.db");
        let database = sqlite::Database::open(&file).unwrap();
        Self { file, database }
    }
}

impl ReadModels for Database {
    fn register(&self, projector: &mut Projector) {
        projector.fold(Accounts, self.database.clone(), Settings::default()).unwrap();
    }

    async fn view(&self) -> View {
        let sums = "SELECT count(*), coalesce(sum(event_count), 0), coalesce(sum(balance), 0) FROM account";
        let view = |row: &Row<'_>| Ok(View { rows: row.get(0)?, events: row.get(1)?, balance: row.get(2)? });
        self.database.read(move |connection| connection.query_row(sums, [], view)).await.unwrap()
    }

    async fn look(&self) -> impl Look {
        // The worker makes the table when it starts.
        while self
            .database
            .read(|connection| connection.prepare("SELECT balance FROM account").map(drop))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
        File(Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap())
    }
}

/// As another process would look into the file.
struct File(Connection);

impl Look for File {
    fn visible(&mut self, accounts: &[&str]) -> Vec<String> {
        let query = "SELECT account_id FROM account WHERE account_id = ?1 AND event_count >= ?2";
        let mut statement = self.0.prepare_cached(query).unwrap();
        let mut visible = Vec::new();
        for account in accounts {
            let mut rows = statement.query((account, EVENTS_AN_APPEND as i64)).unwrap();
            if rows.next().unwrap().is_some() {
                visible.push((*account).to_owned());
            }
        }
        visible
    }
}
