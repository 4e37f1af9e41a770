//! A store, three workers, two clients and operators on simulated time. A seed decides what happens: kills, frozen
//! processes, lost calls and answers, cut connections, wrong clocks, changesets that can't be applied for a while, and
//! what operators do. Then there is no more trouble, and everything must come to the end of the log, with the rows that
//! the log makes.
//!
//! A seed happens in the same way each time, so each has a process of its own.

mod checks;
mod client;
mod link;
mod machine;
mod mailer;
mod operator;
mod process;
mod read_models;
mod remote_store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use clap::{Parser, Subcommand};

use crate::world::World;

#[derive(Parser)]
#[command(about = "Simulates a store, workers, clients and operators under the faults of seeds.")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs one seed, and prints what happened in it.
    Seed { seed: u64 },
    /// Runs many seeds, as many at once as there are cores, and prints those that fail.
    Seeds {
        count: u64,
        /// The first.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().what {
        What::Seed { seed } => one(seed),
        What::Seeds { count, from } => many(from, count),
    }
}

/// Set when anything panics, also in a task whose result nobody waits for.
pub(crate) static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

fn one(seed: u64) -> ExitCode {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        HAS_PANICKED.store(true, SeqCst);
        print(panic);
    }));
    machine::begin(seed);
    let mut world = World::new();
    let _ = catch_unwind(AssertUnwindSafe(|| world.run()));
    world.diary.print();
    println!("{}", world.summary());
    if HAS_PANICKED.load(SeqCst) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn many(from: u64, count: u64) -> ExitCode {
    let (next, failed) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= from + count {
                        return;
                    }
                    match run(seed) {
                        Ok(ran) if ran.status.success() => {
                            println!(
                                "seed {seed}: {}",
                                String::from_utf8_lossy(&ran.stdout).lines().last().unwrap_or_default()
                            );
                        }
                        Ok(ran) => {
                            println!("seed {seed} FAILED:\n{}", String::from_utf8_lossy(&ran.stderr));
                            failed.lock().unwrap().push(seed);
                        }
                        Err(error) => {
                            println!("seed {seed} can't be run: {error}");
                            failed.lock().unwrap().push(seed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    match failed.as_slice() {
        [] => {
            println!("{count} seeds, and all promises were kept");
            ExitCode::SUCCESS
        }
        [first, ..] => {
            println!(
                "{} of {count} seeds failed: {failed:?}. Again, with what happened: just simulate-seed {first}",
                failed.len()
            );
            ExitCode::FAILURE
        }
    }
}

fn run(seed: u64) -> std::io::Result<Output> {
    Command::new(std::env::current_exe()?).args(["seed", &seed.to_string()]).output()
}
