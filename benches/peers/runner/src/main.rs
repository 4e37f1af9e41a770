//! Compares event stores and projection frameworks on one machine, with one workload.
//!
//! [`peers`] says who takes part and how each is used. [`drivers`] builds or installs their drivers; a driver
//! is a program that does one [`part`](peers::Part) in a database of its own and prints one line of JSON.
//! [`rounds`] lets them take turns. [`verdict`] compares the state that a driver has left with the workload.
//! [`table`] and [`plot`] show the medians.
#![forbid(unsafe_code)]

mod databases;
mod drivers;
mod figure;
mod folder;
mod idle;
mod machine;
mod peers;
mod plot;
mod rounds;
mod sizes;
mod summary;
mod table;
mod verdict;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::builder::PossibleValuesParser;

use figure::{Line, Results};
use peers::{PEERS, Peer};
use sizes::Sizes;

/// What is wrong, in words.
type Result<T> = std::result::Result<T, String>;

/// Compares event stores and projection frameworks on this machine, beside its limits.
#[derive(Parser)]
struct Arguments {
    /// Only these, beside the limits. Default: all.
    #[arg(value_parser = PossibleValuesParser::new(PEERS.iter().map(|peer| peer.name)))]
    peers: Vec<String>,
    /// A small workload and one round, to see that everything runs: the figures mean nothing.
    #[arg(long)]
    short: bool,
    /// How often each figure is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measures nothing, and shows the results of an earlier run. Several files are shown as one.
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Where the plot is written. Default: target/peers/peers.svg.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> std::result::Result<(), String> {
    let arguments = Arguments::parse();
    let results = if arguments.from.is_empty() { measure(&arguments).await? } else { read(&arguments.from)? };
    println!("{}", table::markdown(&results));
    let plot = arguments.plot.unwrap_or_else(|| folder::ours().join("peers.svg"));
    write(&plot, &plot::svg(&results))?;
    eprintln!("the plot: {}", plot.display());
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Results> {
    let sizes =
        if arguments.short { Sizes::SHORT } else { Sizes { rounds: arguments.rounds, ..Sizes::FULL } };
    let is_wanted = |peer: &&Peer| {
        peer.is_limit || arguments.peers.is_empty() || arguments.peers.iter().any(|name| name == peer.name)
    };
    let wanted: Vec<&'static Peer> = PEERS.iter().filter(is_wanted).collect();
    let file = folder::ours().join("results.jsonl");
    let mut results = Results::default();
    let mut record = |line: Line| -> Result<()> {
        results.add(line);
        // After each, so that a run that was broken off can be shown.
        write(&file, &results.text()?)
    };
    rounds::run(&wanted, sizes, &mut record).await?;
    eprintln!("the results: {}", file.display());
    Ok(results)
}

fn read(files: &[PathBuf]) -> Result<Results> {
    let mut results = Results::default();
    for file in files {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        for line in text.lines() {
            results.add(serde_json::from_str(line).map_err(|error| format!("{}: {error}", file.display()))?);
        }
    }
    Ok(results)
}

fn write(file: &Path, text: &str) -> Result<()> {
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, text));
    written.map_err(|error| format!("{}: {error}", file.display()))
}
