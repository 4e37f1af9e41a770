//! How soon a read model shows what was appended.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Statement};

use crate::append::Append;
use crate::{EVENTS_AN_APPEND, Report, Task, Times, account_id, postgres};

const APPENDS_A_SECOND: u32 = 50;
/// Between two looks at the read model.
const PAUSE: Duration = Duration::from_micros(250);
/// What is not visible by then is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks into the read model, on a connection of its own.
pub trait Look: Send + 'static {
    /// Which of these accounts have the events of one append.
    fn visible(&mut self, accounts: &[&str]) -> Vec<String>;
}

/// Appends to a new stream 50 times a second. The times are those from the answer of an append until a reader
/// saw both of its events.
///
/// # Panics When the writer or the reader does.
pub async fn live(task: &Task, mut writer: impl Append, look: impl Look) -> Report {
    let appends = (task.time.as_secs() as usize * APPENDS_A_SECOND as usize).min(task.workload.streams);
    let (appended, received) = channel();
    let reader = thread::spawn(move || watch(look, &received));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / APPENDS_A_SECOND);
    let (begun, mut balance) = (Instant::now(), 0);
    for stream in 0..appends {
        tick.tick().await;
        let payloads = task.workload.payloads(stream, stream);
        balance += payloads.iter().map(|payload| payload.amount).sum::<i64>();
        writer.append(stream, 0, payloads).await;
        appended.send((account_id(stream), Instant::now())).expect("the reader looks until all is there");
    }
    drop(appended);
    let times = tokio::task::spawn_blocking(|| reader.join().expect("the reader has failed")).await;
    let times = times.expect("the reader has ended");
    let events = times.count() * EVENTS_AN_APPEND;
    Report {
        balance: Some(balance),
        appended: Some(appends * EVENTS_AN_APPEND),
        ..Report::new(events, begun.elapsed()).times(times)
    }
}

/// Looks again and again, in a thread of its own: a runtime's timer would be too coarse.
fn watch(mut look: impl Look, appended: &Receiver<(String, Instant)>) -> Times {
    let (mut times, mut awaited) = (Times::default(), HashMap::new());
    let mut progress = Instant::now();
    loop {
        if awaited.is_empty() {
            let Ok((account, at)) = appended.recv() else { return times };
            awaited.insert(account, at);
            progress = Instant::now();
        }
        loop {
            match appended.try_recv() {
                Ok((account, at)) => awaited.insert(account, at),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            };
        }
        let accounts: Vec<&str> = awaited.keys().map(String::as_str).collect();
        let visible = look.visible(&accounts);
        let now = Instant::now();
        for at in visible.iter().filter_map(|account| awaited.remove(account)) {
            times.add(now - at);
            progress = now;
        }
        if progress.elapsed() > PATIENCE {
            return times;
        }
        if !awaited.is_empty() {
            thread::sleep(PAUSE);
        }
    }
}

/// Looks into a table in PostgreSQL.
pub struct PostgresTable {
    runtime: tokio::runtime::Runtime,
    client: Client,
    statement: Statement,
}

impl PostgresTable {
    /// The table `account`.
    ///
    /// # Panics
    /// When it can't be read.
    pub async fn account(task: &Task) -> Self {
        Self::new(task, "SELECT id FROM account WHERE id = ANY($1) AND event_count >= $2").await
    }

    /// Another table, by a query with the accounts and the number of events as parameters.
    ///
    /// # Panics
    /// When it can't be read.
    pub async fn new(task: &Task, query: &str) -> Self {
        let (database, query) = (task.database.clone(), query.to_owned());
        let connect = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            let (client, statement) = runtime.block_on(async {
                let client = postgres::connect(&database).await;
                let statement = client.prepare(&query).await.expect("the query is right");
                (client, statement)
            });
            Self { runtime, client, statement }
        };
        tokio::task::spawn_blocking(connect).await.expect("PostgreSQL answers")
    }
}

impl Look for PostgresTable {
    fn visible(&mut self, accounts: &[&str]) -> Vec<String> {
        let events = EVENTS_AN_APPEND as i64;
        let rows = self.runtime.block_on(self.client.query(&self.statement, &[&accounts, &events]));
        let rows = rows.expect("the table can be read");
        rows.iter().map(|row| row.get(0)).collect()
    }
}
