//! The time from the call of commit until readers see the row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projections::Statistics;
use ees_projector::sqlite::Database;
use ees_projector::{Projector, Settings};
use ees_store::{Commit, EventStore, Events, Expectation, sqlite};

use crate::shared::report::Report;

pub(crate) async fn measure(report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    let mut projector = Projector::new(store.clone());
    let database = Database::open(folder.path().join("statistics.db")).unwrap();
    projector.fold(Statistics, database.clone(), Settings::default()).unwrap();
    let running = projector.start();
    let mut commits = Vec::new();
    let mut visible = Vec::new();
    for n in 0..2_000 {
        let events = Events::parse(r#"[{"type":"deposited","amount":1}]"#).unwrap();
        let commit = Commit::new("account".parse().unwrap(), Expectation::LastChangeset(n.into()), events);
        let begun = Instant::now();
        let committed = store.commit(commit).await.unwrap();
        commits.push(begun.elapsed());
        let checkpoint = committed.checkpoint.unwrap();
        running.handle().when_reached(Statistics::NAME, checkpoint, Duration::from_secs(10)).await.unwrap();
        visible.push(begun.elapsed());
    }
    let (totals, _) = Statistics::read(&database).await.unwrap();
    assert_eq!(totals.total_events, 2_000);
    report.percentiles("append, one at a time", commits, "");
    report.percentiles("append to visible in a read model", visible, "p50 1 ms, p99 3 ms");
    running.shut_down().await;
}
