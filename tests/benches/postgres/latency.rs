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

pub(crate) async fn measure(short: bool, databases: &Databases, report: &mut Report) {
    let appends = if short { 1_000 } else { 10_000 };
    let times = limits::follower(&databases.fresh().await, appends).await;
    report.percentiles("limit: a follower by NOTIFY", times, "");
    follow(databases, appends, true, "append to visible, follower in this process", report).await;
    follow(databases, appends, false, "append to visible, follower elsewhere", report).await;
}

/// From here on, what took so long is told.
const SLOW: Duration = Duration::from_millis(20);

/// One append at a time. The follower shares the writer's store, or has another one, as a second process
/// would.
async fn follow(databases: &Databases, appends: u64, same_store: bool, what: &str, report: &mut Report) {
    let url = databases.fresh().await;
    let store = Arc::new(Store::connect(&url).await.unwrap());
    let other = if same_store { store.clone() } else { Arc::new(Store::connect(&url).await.unwrap()) };
    let mut projector = Projector::new(other);
    let database = Database::connect(&url).await.unwrap();
    projector.fold(Balances { columns: true }, database, Settings::default()).unwrap();
    let running = projector.start();
    let (mut committed_after, mut visible) = (Vec::new(), Vec::new());
    let started = Instant::now();
    for n in 0..appends {
        let events = Events::parse(r#"[{"type":"deposited","amount":1}]"#).unwrap();
        let commit = Commit::new("account".parse().unwrap(), Expectation::LastChangeset(n.into()), events);
        let begun = Instant::now();
        let committed = store.commit(commit).await.unwrap();
        committed_after.push(begun.elapsed());
        let checkpoint = committed.checkpoint.unwrap();
        running.handle().when_reached("balances", checkpoint, Duration::from_secs(10)).await.unwrap();
        visible.push(begun.elapsed());
        if visible[visible.len() - 1] > SLOW {
            println!(
                "  {:.3} s after the start: {:.1} ms until it was committed, {:.1} ms until it was visible",
                begun.duration_since(started).as_secs_f64(),
                committed_after[committed_after.len() - 1].as_secs_f64() * 1e3,
                visible[visible.len() - 1].as_secs_f64() * 1e3,
            );
        }
    }
    report.percentiles(&format!("{what}: the commit"), committed_after, "");
    report.percentiles(what, visible, "p50 2 ms, p99 2.5 ms, max 20 ms");
    running.shut_down().await;
}
