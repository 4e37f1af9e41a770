//! A store, three workers, two clients and operators on simulated time. A seed decides what happens: kills, frozen
//! processes, lost calls and answers, cut connections, servers that die, slow disks, wrong clocks, changesets that can't
//! be applied for a while, and what operators do. Then there is no more trouble, and everything must come to the end of
//! the log, with the rows that the log makes.
//!
//! A seed happens in the same way each time, so each has a process of its own.

mod checks;
mod client;
mod diary;
mod link;
mod machine;
mod mailer;
mod operator;
mod process;
mod read_models;
mod remote_store;
mod servers;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

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
    if !cfg!(target_os = "linux") {
        eprintln!("error: the clock and the random numbers are replaced on Linux only");
        return ExitCode::FAILURE;
    }
    match Arguments::parse().what {
        What::Seed { seed } => {
            // On a thread of its own: this one's hash maps have had their random keys before.
            let ran = std::thread::spawn(move || run_seed(seed)).join();
            ran.unwrap_or(ExitCode::FAILURE)
        }
        What::Seeds { count, from } => run_seeds(from, count),
    }
}

/// Set when anything panics, also in a task whose result nobody waits for.
pub(crate) static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// In real time: a seed that takes longer hangs.
const SEED_MAX: Duration = Duration::from_secs(180);

fn run_seed(seed: u64) -> ExitCode {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        HAS_PANICKED.store(true, SeqCst);
        print(panic);
    }));
    std::thread::spawn(move || {
        std::thread::sleep(SEED_MAX);
        eprintln!("seed {seed} does not come to its end: something goes on for ever without time passing");
        std::process::exit(1);
    });
    machine::begin(seed);
    let mut world = World::new();
    let _ = catch_unwind(AssertUnwindSafe(|| world.run()));
    world.diary.print();
    println!("{}", world.summary());
    if HAS_PANICKED.load(SeqCst) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Of many seeds: those that failed, and how often operators did what they wanted, by what it was.
#[derive(Default)]
struct Ran {
    failed: Vec<u64>,
    operated: BTreeMap<&'static str, usize>,
}

impl Ran {
    fn take(&mut self, seed: u64, ran: std::io::Result<Output>) {
        let ran = match ran {
            Ok(ran) => ran,
            Err(error) => {
                println!("seed {seed} can't be run: {error}");
                self.failed.push(seed);
                return;
            }
        };
        let told = String::from_utf8_lossy(&ran.stdout);
        for action in operator::ACTIONS {
            let done = told.lines().filter(|line| line.contains(action) && line.ends_with(": Ok(())"));
            *self.operated.entry(action).or_default() += done.count();
        }
        if ran.status.success() {
            println!("seed {seed}: {}", told.lines().last().unwrap_or_default());
        } else {
            println!("seed {seed} FAILED:\n{}", String::from_utf8_lossy(&ran.stderr));
            self.failed.push(seed);
        }
    }
}

fn run_seeds(from: u64, count: u64) -> ExitCode {
    let (next, ran) = (AtomicU64::new(from), Mutex::<Ran>::default());
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, SeqCst)).filter(|seed| *seed < from + count) {
                    let output = spawn_seed(seed);
                    ran.lock().unwrap().take(seed, output);
                }
            });
        }
    });
    let Ran { failed, operated } = ran.into_inner().unwrap();
    println!("what operators did: {operated:?}");
    if let Some(never) =
        operator::ACTIONS.iter().find(|action| count >= MANY && operated.get(*action) == Some(&0))
    {
        println!("no operator ever did this, so nothing was tried: {never}");
        return ExitCode::FAILURE;
    }
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

/// In so many seeds, everything is done at least once.
const MANY: u64 = 100;

fn spawn_seed(seed: u64) -> std::io::Result<Output> {
    Command::new(std::env::current_exe()?).args(["seed", &seed.to_string()]).output()
}
