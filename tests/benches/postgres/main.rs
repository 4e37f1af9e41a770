//! Measures the store and the read models in PostgreSQL, next to the limits of PostgreSQL itself, on the same
//! disk and machine in the same run.
//!
//! Workload W: 100,000 events of about 200 bytes in 10,000 streams, two events per append; a tenth of them
//! with `--short`. `--tenfold` measures everything again with ten times the events, and prints each rate next
//! to that of the smaller workload. `--only append|fold|rebuild|read|latency` measures a part. Every acknowledged
//! commit is on disk. Run it on a quiet machine: `cargo bench -p ees-tests --bench postgres`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark stops when something fails"
)]

mod append;
mod catch_up;
mod latency;
mod limits;
mod plain;
mod processes;
mod read;
mod rebuild;
mod server;
#[path = "../shared/mod.rs"]
mod shared;

use server::Databases;
use shared::report::Report;
use shared::workload::Workload;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if processes::is_writer(&arguments) {
        return processes::write(&arguments).await;
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let only = arguments.iter().position(|argument| argument == "--only").map(|at| arguments[at + 1].clone());
    let short = has("--short");
    let small = Workload { appends: if short { 5_000 } else { 50_000 }, streams: 10_000, first_stream: 0 };
    let databases = Databases::start(short).await;
    let mut report = Report::default();
    measure(short, &small, &databases, only.as_deref(), &mut report).await;
    if has("--tenfold") {
        report.grow();
        let large = Workload { appends: small.appends * 10, ..small };
        measure(short, &large, &databases, only.as_deref(), &mut report).await;
    }
}

async fn measure(
    short: bool,
    workload: &Workload,
    databases: &Databases,
    only: Option<&str>,
    report: &mut Report,
) {
    println!(
        "workload W: {} events of 200 B in {} streams, 2 an append",
        workload.events(),
        workload.streams
    );
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    if wanted("append") {
        append::measure(workload, databases, report).await;
    }
    if wanted("fold") {
        catch_up::measure(workload, databases, report).await;
    }
    if wanted("rebuild") {
        rebuild::measure(short, workload, databases, report).await;
    }
    if wanted("read") {
        read::measure(workload, databases, report).await;
    }
    if wanted("latency") {
        latency::measure(short, databases, report).await;
    }
}
