//! Measures rebuilds of a read model in DynamoDB, on the emulator of the tests: in the order of the log, and by segments
//! of it with 1, 2 and 4 workers. Calls and write units carry over to AWS; seconds do not. So that workers have
//! something to wait for, as on AWS, each is measured again with transactions of 25 ms.
//!
//! 10,000 events in 5,000 changesets of 1,000 streams, a tenth of them with `--short`, ten times as many with
//! `--tenfold`; the log is in memory: `cargo bench -p ees-tests --bench dynamodb`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark stops when something fails"
)]

#[path = "../shared/mod.rs"]
mod shared;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::dynamodb::{Database, create_table};
use ees_projector::{Handle, InPlace, Projector, Settings};
use ees_store::{EventStore, memory};
use ees_test_aws::{Faults, LocalAws};
use shared::append::fill;
use shared::read::Balances;
use shared::report::Report;
use shared::workload::Workload;

const LONG: Duration = Duration::from_secs(600);
/// About what a transaction of 100 items takes on AWS.
const LASTING: Duration = Duration::from_millis(25);
const TABLE: &str = "read-models";

#[tokio::main]
async fn main() {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let appends = if has("--short") { 500 } else { 5_000 };
    let appends = if has("--tenfold") { appends * 10 } else { appends };
    let workload = Workload { appends, streams: appends / 5, first_stream: 0 };
    let store = memory::Store::new();
    fill(&store as &dyn EventStore, &workload).await;
    let log = Arc::new(store);
    println!(
        "{} events in {appends} changesets of {} streams, a row for each stream",
        workload.events(),
        workload.streams
    );
    let mut report = Report::default();
    for lasting in [Duration::ZERO, LASTING] {
        measure(&log, &workload, &mut report, lasting).await;
    }
}

async fn measure(log: &Arc<memory::Store>, workload: &Workload, report: &mut Report, lasting: Duration) {
    let account = LocalAws::account().await;
    create_table(&aws_sdk_dynamodb::Client::new(&account.sdk_config()), TABLE).await.unwrap();
    let faults = Faults::none().lasting(lasting);
    let database = Database::new(aws_sdk_dynamodb::Client::new(&account.sdk_config_with(&faults)), TABLE);
    let mut projector = Projector::new(log.clone());
    projector.fold(Balances { columns: true }, database, Settings::default()).unwrap();
    let running = projector.start();
    // A worker that has run before knows how much fits a transaction.
    running.handle().when_reached("balances", workload.appends.into(), LONG).await.unwrap();
    for (by_segments, workers) in [(false, 1), (true, 1), (true, 2), (true, 4)] {
        faults.calls().take();
        let before = faults.calls().actions();
        let wanted = InPlace { workers: Some(workers), by_segments, ..InPlace::default() };
        let took = rebuild(running.handle(), wanted).await;
        let (calls, actions) = (faults.calls().take(), faults.calls().actions() - before);
        let of = |operation: &str| calls.get(operation).copied().unwrap_or_default();
        let single = of("PutItem") + of("DeleteItem") + of("UpdateItem");
        let all = calls.values().sum::<usize>();
        let how = if by_segments { "by segments" } else { "in the order of the log" };
        let waits = if lasting.is_zero() { "" } else { ", 25 ms" };
        report.rate(&format!("{how}, workers: {workers}{waits}"), workload.events(), took, None, None);
        println!(
            "    {:.1} s, {:.0} changesets/s; {all} calls, {} of them transactions that write; {:.2} calls and {:.2} write \
             units a row",
            took.as_secs_f64(),
            workload.appends as f64 / took.as_secs_f64(),
            of("TransactWriteItems"),
            all as f64 / workload.streams as f64,
            (2 * actions + single) as f64 / workload.streams as f64,
        );
    }
    running.shut_down().await;
}

async fn rebuild(handle: &Handle, wanted: InPlace) -> Duration {
    let begun = Instant::now();
    handle.rebuild_in_place("balances", wanted, "").await.unwrap();
    let is_done = async || {
        let status = handle.status("balances").await.unwrap();
        status.rebuild.is_none() && status.partitions.is_empty()
    };
    while !is_done().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}
