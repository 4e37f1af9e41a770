//! The log and a read model by plain statements.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::shared::read::amounts;
use crate::shared::workload::{Append, EVENTS_AN_APPEND, Workload};

/// An empty log.
pub(crate) fn log(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 10_000).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE changesets (checkpoint INTEGER PRIMARY KEY, stream_id TEXT NOT NULL,
                changeset_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, events TEXT NOT NULL,
                metadata TEXT NOT NULL, UNIQUE (stream_id, changeset_id)) STRICT",
        )
        .unwrap();
    connection
}

/// Inserts appends, so many in a transaction.
pub(crate) fn append(connection: &mut Connection, appends: impl Iterator<Item = Append>, at_once: usize) {
    let mut appends = appends.peekable();
    while appends.peek().is_some() {
        let transaction = connection.transaction().unwrap();
        let mut insert =
            transaction.prepare_cached("INSERT INTO changesets VALUES (?1, ?2, ?3, 0, ?4, '{}')").unwrap();
        for Append { n, stream_id, last } in appends.by_ref().take(at_once) {
            insert.execute(params![n, stream_id.as_str(), last + 1, Workload::body(n)]).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    }
}

/// Folds the log into a database at this path, with one write for 5,000 events.
pub(crate) fn fold(log: &Connection, path: &Path) {
    let mut model = Connection::open(path).unwrap();
    model.pragma_update(None, "journal_mode", "WAL").unwrap();
    model.execute_batch("CREATE TABLE balances (key TEXT PRIMARY KEY, state INTEGER) STRICT").unwrap();
    let mut select = log.prepare("SELECT stream_id, events FROM changesets ORDER BY checkpoint").unwrap();
    let mut rows = select.query([]).unwrap();
    let mut changed = HashMap::<String, i64>::new();
    let mut seen = 0;
    loop {
        let row = rows.next().unwrap();
        if row.is_none() || seen >= 5_000 {
            write(&mut model, &changed);
            changed.clear();
            seen = 0;
        }
        let Some(row) = row else { return };
        let total: i64 = amounts(row.get_ref(1).unwrap().as_str().unwrap()).iter().sum();
        *changed.entry(row.get_ref(0).unwrap().as_str().unwrap().to_owned()).or_default() += total;
        seen += EVENTS_AN_APPEND;
    }
}

fn write(model: &mut Connection, changed: &HashMap<String, i64>) {
    let transaction = model.transaction().unwrap();
    let mut upsert = transaction
        .prepare_cached(
            "INSERT INTO balances VALUES (?1, ?2) ON CONFLICT DO UPDATE SET state = state + excluded.state",
        )
        .unwrap();
    for (key, amount) in changed {
        upsert.execute(params![key, amount]).unwrap();
    }
    drop(upsert);
    transaction.commit().unwrap();
}
