//! Measures what becomes of the rates as a log grows: with 100,000 events, with ten times and with a hundred times as many,
//! in SQLite and in PostgreSQL, beside a log of plain statements that grows with it.
//!
//! Two events of about 200 bytes an append: 19 of 20 appends to 10,000 streams (100,000 and 300,000 in the larger logs), the
//! others to streams that get 100 events each. Much less with `--short`. `--to 1|10|100` ends at that size, `--only
//! sqlite|postgres` takes one of them, `--plot FILE` draws the ratios. It takes some 20 minutes and 12 GB: `cargo bench -p
//! ees-tests --bench size`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark stops when something fails"
)]

mod growth;
mod measure;
#[path = "../postgres/plain.rs"]
mod plain;
#[path = "../embedded/plain.rs"]
mod plain_sqlite;
mod plot;
mod postgres;
#[path = "../postgres/server.rs"]
mod server;
#[path = "../shared/mod.rs"]
mod shared;
mod sqlite;

use growth::Growth;
use measure::{Figures, measure};
use server::Databases;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].clone())
    };
    let is_short = arguments.iter().any(|argument| argument == "--short");
    let largest = value("--to").map_or(if is_short { 10 } else { 100 }, |times| times.parse().unwrap());
    let only = value("--only");
    let wanted = |backend: &str| only.as_deref().is_none_or(|only| only == backend);
    let sizes = Growth::sizes(is_short, largest);
    let mut measured: Vec<(&str, Vec<Figures>)> = Vec::new();
    if wanted("sqlite") {
        measured.push(("SQLite", measure(sqlite::Log::new(), &sizes).await));
    }
    if wanted("postgres") {
        let databases = Databases::start(is_short).await;
        measured.push(("PostgreSQL", measure(postgres::Log::new(&databases).await, &sizes).await));
    }
    if let Some(file) = value("--plot") {
        std::fs::write(&file, plot::svg(&measured)).unwrap();
        println!("{file} shows it");
    }
}
