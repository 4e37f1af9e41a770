//! SQLite by plain statements, on connections of one thread.

use std::path::Path;
use std::time::Instant;

use peers_workload::{EVENTS_AN_APPEND, Part, Payload, Report, Task, Times, View, account_id};
use rusqlite::{Connection, Row, params};

use crate::fold::{Moved, fold};

const APPENDS_TOGETHER: usize = 1_000;
const EVENTS_TOGETHER: usize = 5_000;

const TABLES: &str =
    "CREATE TABLE log (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL,
        UNIQUE (stream, version));
    CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL, event_count INTEGER NOT NULL,
        last_event_id INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE checkpoint (position INTEGER NOT NULL);
    INSERT INTO checkpoint VALUES (0)";
const INSERT: &str = "INSERT INTO log (stream, version, data) VALUES (?1, ?2, ?3)";
const UPSERT: &str = "INSERT INTO account VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET
    balance = balance + excluded.balance, event_count = event_count + excluded.event_count,
    last_event_id = excluded.last_event_id";

pub(crate) fn measure(task: &Task, grouped: bool) -> Report {
    let mut connection = open(&task.folder.join("log.db"));
    match task.part {
        Part::Append => append(task, &mut connection, if grouped { APPENDS_TOGETHER } else { 1 }),
        Part::CatchUp => catch_up(task, &mut connection, grouped),
        Part::Read => read(task, &connection),
        Part::Enumerate => {
            let begun = Instant::now();
            Report::new(enumerate(&connection), begun.elapsed())
        }
        Part::Live => panic!("a reader of the same process needs no follower"),
    }
}

/// Every commit is on disk.
fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536";
    connection.execute_batch(settings).unwrap();
    connection
}

fn append(task: &Task, connection: &mut Connection, together: usize) -> Report {
    connection.execute_batch(TABLES).unwrap();
    let (workload, mut times, mut balance, mut appended) = (task.workload, Times::default(), 0, 0);
    let begun = Instant::now();
    while appended < workload.appends() && begun.elapsed() < task.time {
        let called = Instant::now();
        let transaction = connection.transaction().unwrap();
        let mut insert = transaction.prepare_cached(INSERT).unwrap();
        for append in appended..workload.appends().min(appended + together) {
            let payloads = workload.payloads(workload.stream(append), append);
            for (version, payload) in (workload.version(append)..).zip(&payloads) {
                balance += payload.amount;
                let data = serde_json::to_string(payload).unwrap();
                insert.execute(params![payload.account_id, version as i64, data]).unwrap();
            }
            appended = append + 1;
        }
        drop(insert);
        transaction.commit().unwrap();
        times.add(called.elapsed());
    }
    let report = Report::new(appended * EVENTS_AN_APPEND, begun.elapsed()).times(times);
    Report { balance: Some(balance), ..report.stored(enumerate(connection)) }
}

fn catch_up(task: &Task, connection: &mut Connection, grouped: bool) -> Report {
    let log = open(&task.folder.join("log.db"));
    let mut page =
        log.prepare("SELECT position, data FROM log WHERE position > ?1 ORDER BY position LIMIT ?2").unwrap();
    let mut position = 0;
    let begun = Instant::now();
    while begun.elapsed() < task.time {
        let moved = |row: &Row<'_>| Ok(Moved::new(row.get(0)?, row.get_ref(1)?.as_str()?));
        let rows = page.query_map(params![position, EVENTS_TOGETHER as i64], moved).unwrap();
        let rows: Vec<Moved> = rows.map(Result::unwrap).collect();
        let Some(last) = rows.last() else { break };
        position = last.position;
        let transaction = connection.transaction().unwrap();
        let mut upsert = transaction.prepare_cached(UPSERT).unwrap();
        if grouped {
            for (account, change) in fold(&rows) {
                upsert
                    .execute(params![account, change.balance, change.event_count, change.last_event_id])
                    .unwrap();
            }
        } else {
            for event in &rows {
                upsert.execute(params![event.account, event.amount, 1, event.position]).unwrap();
            }
        }
        drop(upsert);
        transaction.execute("UPDATE checkpoint SET position = ?1", [position]).unwrap();
        transaction.commit().unwrap();
    }
    let took = begun.elapsed();
    let sums = "SELECT count(*), coalesce(sum(event_count), 0), coalesce(sum(balance), 0) FROM account";
    let view = |row: &Row<'_>| Ok(View { rows: row.get(0)?, events: row.get(1)?, balance: row.get(2)? });
    let view = connection.query_row(sums, [], view).unwrap();
    Report::new(view.events as usize, took).view(view)
}

fn read(task: &Task, connection: &Connection) -> Report {
    let mut select = connection.prepare("SELECT data FROM log WHERE stream = ?1 ORDER BY version").unwrap();
    let (workload, mut times) = (task.workload, Times::default());
    let begun = Instant::now();
    while begun.elapsed() < task.time {
        let called = Instant::now();
        let mut rows = select.query([account_id(workload.stream(times.count()))]).unwrap();
        let mut events = 0;
        while let Some(row) = rows.next().unwrap() {
            let _: Payload = serde_json::from_str(row.get_ref(0).unwrap().as_str().unwrap()).unwrap();
            events += 1;
        }
        assert_eq!(events, workload.events_a_stream());
        times.add(called.elapsed());
    }
    let calls = times.count();
    let report = Report::new(calls * workload.events_a_stream(), begun.elapsed()).times(times);
    Report { calls: Some(calls), ..report }
}

fn enumerate(connection: &Connection) -> usize {
    let mut select = connection.prepare("SELECT position, data FROM log ORDER BY position").unwrap();
    let rows = select.query_map([], |row| Ok(Moved::new(row.get(0)?, row.get_ref(1)?.as_str()?))).unwrap();
    rows.map(Result::unwrap).count()
}
