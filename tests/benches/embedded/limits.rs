//! The limits of SQLite itself on this machine.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::shared::read::amounts;
use crate::shared::report::{Report, timed};
use crate::shared::workload::{EVENTS_AN_APPEND, Workload};

pub(crate) struct Limits {
    /// One append per transaction, events/s.
    pub(crate) singly: f64,
    /// A thousand appends per transaction, events/s.
    pub(crate) by_thousand: f64,
    /// Events folded in memory and written after every 5,000, events/s.
    pub(crate) fold: f64,
    /// Rows read one by one, events/s.
    pub(crate) scan: f64,
}

pub(crate) fn measure(workload: &Workload, report: &mut Report) -> Limits {
    let folder = tempfile::tempdir().unwrap();
    let singly_appends = workload.appends.min(10_000);
    let mut singly = log(&folder.path().join("singly.db"));
    let ((), took) = timed(|| append(&mut singly, workload, singly_appends, 1));
    let singly =
        report.rate("limit: SQLite FULL, an append a transaction", singly_appends * 2, took, None, None);
    let mut connection = log(&folder.path().join("log.db"));
    let ((), took) = timed(|| append(&mut connection, workload, workload.appends, 1_000));
    let by_thousand =
        report.rate("limit: SQLite FULL, 1,000 appends a transaction", workload.events(), took, None, None);
    let (scanned, took) = timed(|| scan(&connection));
    assert_eq!(scanned, workload.appends);
    let scan = report.rate("limit: SQLite scan, row by row", workload.events(), took, None, None);
    let ((), took) = timed(|| fold(&connection, &folder.path().join("fold.db")));
    let fold =
        report.rate("limit: SQLite fold, a write for 5,000 events", workload.events(), took, None, None);
    Limits { singly, by_thousand, fold, scan }
}

fn log(path: &Path) -> Connection {
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

fn append(connection: &mut Connection, workload: &Workload, appends: u64, at_once: u64) {
    let mut n = 0;
    while n < appends {
        let transaction = connection.transaction().unwrap();
        let mut insert =
            transaction.prepare_cached("INSERT INTO changesets VALUES (?1, ?2, ?3, 0, ?4, '{}')").unwrap();
        for n in n..(n + at_once).min(appends) {
            let (stream, last) = workload.stream(n);
            insert.execute(params![n, stream.as_str(), last + 1, Workload::body(n)]).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
        n += at_once;
    }
}

fn scan(connection: &Connection) -> u64 {
    let mut select = connection.prepare("SELECT * FROM changesets ORDER BY checkpoint").unwrap();
    let mut rows = select.query([]).unwrap();
    let mut seen = 0;
    while let Some(row) = rows.next().unwrap() {
        seen += u64::from(!row.get_ref(4).unwrap().as_str().unwrap().to_owned().is_empty());
    }
    seen
}

fn fold(log: &Connection, path: &Path) {
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
