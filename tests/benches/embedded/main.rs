//! Measures the embedded system, next to the limits of the same disk and machine in the same run.
//!
//! Workload W: 100,000 events of about 200 bytes in 10,000 streams, two events per append; a tenth of them
//! with `--short`. Every acknowledged commit is on disk. Run it on a quiet machine: `cargo bench -p
//! ees-tests`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark stops when something fails"
)]

mod aggregate;
mod append;
mod folds;
mod http;
mod latency;
mod limits;
mod plain;
mod read;
mod remote;
#[path = "../shared/mod.rs"]
mod shared;
mod subscribers;
mod timers;
mod traces;

use shared::report::{self, Report};
use shared::workload::Workload;

#[tokio::main]
async fn main() {
    let given = |name: &str| std::env::args().any(|argument| argument == name);
    let short = given("--short");
    if given("--subscribers") {
        return subscribers::measure(short).await;
    }
    if given("--folds") {
        return folds::measure(short).await;
    }
    if given("--fingerprints") {
        return folds::measure_fingerprints(short).await;
    }
    if given("--remote") {
        return remote::measure(short).await;
    }
    if given("--timers") {
        return timers::measure(short, &mut Report::default()).await;
    }
    let workload = Workload { appends: if short { 5_000 } else { 50_000 }, streams: 10_000, first_stream: 0 };
    if given("--traces") {
        return traces::measure(&workload).await;
    }
    println!(
        "workload W: {} events of 200 B in {} streams, 2 an append",
        workload.events(),
        workload.streams
    );
    let mut report = Report::default();
    let limits = limits::measure(&workload, &mut report);
    let by_library = append::measure(&workload, &limits, &mut report).await;
    http::measure(&workload, &limits, by_library, &mut report).await;
    read::measure(&workload, &limits, &mut report).await;
    latency::measure(&mut report).await;
    timers::measure(short, &mut report).await;
    aggregate::measure(short, &mut report).await;
    folds::measure(short).await;
    folds::measure_fingerprints(short).await;
    remote::measure(short).await;
    subscribers::measure(short).await;
    println!("peak memory of this process, load generators included: {} MB", report::peak_memory_mb());
}
