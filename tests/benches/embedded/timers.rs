//! How late timers fire: many that are due one after the other, and many that are due at once.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ees_projector::reactor::{Cause, Firing, Reactor, Settings, Start};
use ees_projector::sqlite::Database;
use ees_projector::{BoxError, Projector};
use ees_store::{Commit, EventStore, Events, Expectation, Timestamp, sqlite};
use serde::Deserialize;

use crate::shared::report::Report;

#[derive(Deserialize)]
struct Wanted {
    due: i64,
}

/// Sets a timer for each event, and notes how late each fires.
#[derive(Clone, Default)]
struct Lateness(Arc<Mutex<Vec<Duration>>>);

impl Reactor for Lateness {
    type Event = Wanted;

    fn name(&self) -> &str {
        "lateness"
    }
    async fn react(&self, cause: Cause<'_, Wanted>) -> Result<(), BoxError> {
        cause.at(Timestamp::from_micros(cause.event.due), "timer", &()).await
    }
    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        let late = Timestamp::now().as_micros() - firing.timer().due.as_micros();
        let late = u64::try_from(late).map_err(|_| "a timer fired before its time")?;
        self.0.lock().unwrap().push(Duration::from_micros(late));
        Ok(())
    }
}

pub(crate) async fn measure(short: bool, report: &mut Report) {
    let (few, many) = if short { (100, 100) } else { (2_000, 10_000) };
    let late = fire(few, Duration::from_millis(20) * few).await;
    report.percentiles("timers, 50 due each second: late by", late, "1,000 ms");
    let late = fire(many, Duration::ZERO).await;
    let took = late.into_iter().max().unwrap();
    println!("timers that are due at once: {:.0}/s", f64::from(many) / took.as_secs_f64());
}

/// Sets timers that are due within a time, and returns how late each fires.
async fn fire(count: u32, within: Duration) -> Vec<Duration> {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    // By then, all of them are set.
    let first = Timestamp::now() + Duration::from_secs(1) + Duration::from_millis(5) * count;
    let commits = (0..count).map(|number| {
        let due = first + within * number / count;
        let events = Events::parse(&format!(r#"[{{"type":"wanted","due":{}}}]"#, due.as_micros())).unwrap();
        let stream = format!("order{number}").parse().unwrap();
        store.commit(Commit::new(stream, Expectation::LastChangeset(0.into()), events))
    });
    for committed in futures::future::join_all(commits).await {
        committed.unwrap();
    }
    let lateness = Lateness::default();
    let mut projector = Projector::new(store.clone());
    let database = Database::open(folder.path().join("ledger.db")).unwrap();
    let settings = Settings { start: Start::Beginning, ..Settings::default() };
    projector.reactor(lateness.clone(), database, settings).unwrap();
    let running = projector.start();
    let deadline = Instant::now() + Duration::from_secs(600);
    while lateness.0.lock().unwrap().len() < count as usize {
        assert!(Instant::now() < deadline, "timers did not fire");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.shut_down().await;
    let lateness = std::mem::take(&mut *lateness.0.lock().unwrap());
    assert_eq!(lateness.len(), count as usize, "each fires once");
    lateness
}
