//! The limits of SQLite itself on this machine.

use rusqlite::Connection;

use crate::plain::{append, fold, log};
use crate::shared::report::{Report, timed};
use crate::shared::workload::Workload;

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
    let ((), took) = timed(|| append(&mut singly, workload.all().take(singly_appends as usize), 1));
    let singly =
        report.rate("limit: SQLite FULL, an append a transaction", singly_appends * 2, took, None, None);
    let mut connection = log(&folder.path().join("log.db"));
    let ((), took) = timed(|| append(&mut connection, workload.all(), 1_000));
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

/// Reads all rows one by one. Returns how many.
fn scan(connection: &Connection) -> u64 {
    let mut select = connection.prepare("SELECT * FROM changesets ORDER BY checkpoint").unwrap();
    let mut rows = select.query([]).unwrap();
    let mut seen = 0;
    while let Some(row) = rows.next().unwrap() {
        seen += u64::from(!row.get_ref(4).unwrap().as_str().unwrap().to_owned().is_empty());
    }
    seen
}
