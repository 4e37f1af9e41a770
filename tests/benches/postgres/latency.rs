//! The time from the call of commit until readers see the row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::postgres::Database;
use ees_projector::{Projector, Settings};
use ees_store::postgres::Store;
use ees_store::{Commit, EventStore, Events, Expectation};

use crate::limits;
use crate::server::Databases;
use crate::shared::read::Balances;
use crate::shared::report::Report;

const APPENDS: u64 = 2_000;

pub(crate) async fn measure(databases: &Databases, report: &mut Report) {
    let times = limits::follower(&databases.fresh().await, APPENDS).await;
    report.percentiles("limit: a follower by NOTIFY", times, "");
    follow(databases, true, "append to visible, follower in this process", report).await;
    follow(databases, false, "append to visible, follower elsewhere", report).await;
}

/// One append at a time. The follower shares the writer's store, or has another one, as a second process
/// would.
async fn follow(databases: &Databases, same_store: bool, what: &str, report: &mut Report) {
    let url = databases.fresh().await;
    let store = Arc::new(Store::connect(&url).await.unwrap());
    let other = if same_store { store.clone() } else { Arc::new(Store::connect(&url).await.unwrap()) };
    let mut projector = Projector::new(other);
    let database = Database::connect(&url).await.unwrap();
    projector.fold(Balances { columns: true }, database, Settings::default()).unwrap();
    let running = projector.start();
    let mut visible = Vec::new();
    for n in 0..APPENDS {
        let events = Events::parse(r#"[{"type":"deposited","amount":1}]"#).unwrap();
        let commit = Commit::new("account".parse().unwrap(), Expectation::LastChangeset(n.into()), events);
        let begun = Instant::now();
        let committed = store.commit(commit).await.unwrap();
        let checkpoint = committed.checkpoint.unwrap();
        running.handle().when_reached("balances", checkpoint, Duration::from_secs(10)).await.unwrap();
        visible.push(begun.elapsed());
    }
    report.percentiles(what, visible, "p50 2 ms, p99 3 ms");
    running.shut_down().await;
}
