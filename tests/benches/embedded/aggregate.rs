//! Loads one aggregate: from a short stream, and from a long one without and with a snapshot.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_aggregate::snapshots::sqlite::Snapshots;
use ees_aggregate::{Aggregate, Repository, Snapshotted};
use ees_store::{EventStore, StreamId, sqlite};
use serde::{Deserialize, Serialize};

use crate::shared::report::Report;
use crate::shared::workload::{EVENTS_AN_APPEND, Workload};

#[derive(Default, Serialize, Deserialize)]
struct Account {
    amount: i64,
    events: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AccountEvent {
    Deposited { amount: i64 },
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Event = AccountEvent;
    type Command = ();
    type Error = Infallible;
    fn apply(&mut self, &AccountEvent::Deposited { amount }: &AccountEvent) {
        self.amount += amount;
        self.events += 1;
    }
    fn decide(&self, (): &()) -> Result<Vec<AccountEvent>, Infallible> {
        Ok(vec![])
    }
}

impl Snapshotted for Account {
    const SCHEMA: &'static str = "1";
}

/// Events since the snapshot: fewer than cause another one.
const SINCE: u64 = 98;

pub(crate) async fn measure(short: bool, report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    let (few, many) = (Stream { number: 0, events: 100 }, Stream { number: 1, events: 10_000 });
    let plain = Repository::<Account>::new(store.clone());
    let snapshots = Snapshots::open(folder.path().join("snapshots.db")).unwrap();
    let cached = plain.clone().with_snapshots(snapshots);
    let loads = if short { 20 } else { 300 };

    few.append(&*store, 0..few.events).await;
    report.percentiles("load 100 events", few.load(&plain, loads).await, "");
    many.append(&*store, 0..many.events - SINCE).await;
    cached.load(&many.id()).await.unwrap();
    many.append(&*store, many.events - SINCE..many.events).await;
    report.percentiles("load 10,000 events, with snapshots", many.load(&cached, loads).await, "as for 100");
    report.percentiles("load 10,000 events, without", many.load(&plain, loads).await, "");
}

struct Stream {
    number: u64,
    events: u64,
}

impl Stream {
    fn workload(&self) -> Workload {
        Workload { appends: self.events / EVENTS_AN_APPEND, streams: 1, first_stream: self.number }
    }

    fn id(&self) -> StreamId {
        self.workload().stream(0).0
    }

    async fn append(&self, store: &dyn EventStore, events: Range<u64>) {
        let appends = events.start / EVENTS_AN_APPEND..events.end / EVENTS_AN_APPEND;
        let commits = appends.map(|n| self.workload().commit(n)).collect();
        for verdict in store.commit_in_order(commits).await {
            verdict.unwrap();
        }
    }

    async fn load(&self, repository: &Repository<Account>, times: usize) -> Vec<Duration> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let begun = Instant::now();
            let loaded = repository.load(&self.id()).await.unwrap().unwrap();
            took.push(begun.elapsed());
            assert_eq!(loaded.events, self.events);
        }
        took
    }
}
