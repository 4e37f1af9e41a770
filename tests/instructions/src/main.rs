//! Counts the instructions of hot paths under valgrind, and compares them with the figures in the repository: on a busy
//! machine as on a quiet one, because an instruction is an instruction.
//!
//! `check` compares, `accept` writes the figures after an intended change. Each path runs a few times and more times, in
//! two processes: the difference is what a run costs, without the start of the process and what is prepared.
#![allow(clippy::unwrap_used, reason = "a count stops when something fails")]

mod figures;
mod paths;
#[path = "../../benches/shared/read.rs"]
#[allow(dead_code, reason = "the benchmarks use the rest")]
mod read;
#[path = "../../benches/shared/workload.rs"]
#[allow(dead_code, reason = "the benchmarks use the rest")]
mod workload;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use figures::{Figures, TOLERANCE};
use paths::{PATHS, Path};

/// How often a path runs in the first process, and in the second.
const RUNS: (u64, u64) = (1, 4);
/// How often each process is counted. Threads that take turns otherwise, and keys that are hashed otherwise, cost some
/// more: the least of the counts varies less.
const COUNTS: usize = 3;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match *arguments {
        ["check"] => check(),
        ["accept"] => counted().and_then(|figures| figures.write()).map(|()| true),
        ["prepare", path, folder] => prepare(path, folder.into()).map(|()| true),
        ["run", path, folder, runs] => run(path, folder.into(), runs).map(|()| true),
        _ => Err("instructions check | accept".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns `false` if a path costs more or less than it did.
fn check() -> Result<bool, Failure> {
    let (stored, now) = (Figures::read()?, counted()?);
    if stored.compiler != now.compiler {
        println!("The figures are of {}, this is {}: they can't be compared.", stored.compiler, now.compiler);
        return Ok(true);
    }
    let mut is_same = true;
    for (path, before) in &stored.instructions {
        let now = now.instructions.get(path).ok_or_else(|| format!("the path {path} is gone: accept"))?;
        let ratio = *now as f64 / *before as f64;
        let verdict = if (ratio - 1.0).abs() <= TOLERANCE { "" } else { "  <- not what it was" };
        is_same &= verdict.is_empty();
        println!("{path:30} {before:>10} -> {now:>10} instructions, {ratio:.3}{verdict}");
    }
    if let Some(path) = now.instructions.keys().find(|path| !stored.instructions.contains_key(*path)) {
        return Err(format!("the path {path} is new: accept").into());
    }
    if !is_same {
        println!(
            "A path costs other than it did by more than {:.0} %. If that is intended: just instructions-accept",
            TOLERANCE * 100.0
        );
    }
    Ok(is_same)
}

/// Counts each path.
fn counted() -> Result<Figures, Failure> {
    let compiler = String::from_utf8(Command::new("rustc").arg("--version").output()?.stdout)?;
    let mut figures = Figures { compiler: compiler.trim().to_owned(), instructions: Default::default() };
    for path in &PATHS {
        let least = |runs| {
            (0..COUNTS)
                .map(|_| instructions(path, runs))
                .try_fold(u64::MAX, |least, count| count.map(|count| least.min(count)))
        };
        let (few, more) = (least(RUNS.0)?, least(RUNS.1)?);
        let each = more.saturating_sub(few) / ((RUNS.1 - RUNS.0) * path.units);
        println!("{}: {each} instructions for each {}", path.name, path.unit);
        figures.instructions.insert(path.name.to_owned(), each);
    }
    Ok(figures)
}

/// Counts the instructions of a process that runs a path.
fn instructions(path: &Path, runs: u64) -> Result<u64, Failure> {
    let (program, folder) = (std::env::current_exe()?, tempfile::tempdir()?);
    if path.prepare.is_some() {
        let prepared = Command::new(&program).args(["prepare", path.name]).arg(folder.path()).status()?;
        if !prepared.success() {
            return Err(format!("what the path {} reads can't be prepared", path.name).into());
        }
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    valgrind.arg(program).args(["run", path.name]).arg(folder.path()).arg(runs.to_string());
    let ran =
        valgrind.output().map_err(|error| format!("valgrind can't be started ({error}): install it"))?;
    let told = String::from_utf8_lossy(&ran.stderr);
    if !ran.status.success() {
        return Err(format!("the path {} failed under valgrind:\n{told}", path.name).into());
    }
    // ==123== I refs:        1,234,567
    let count =
        told.lines().find_map(|line| line.split_once("I refs:").or_else(|| line.split_once("I   refs:")));
    let (_, count) = count.ok_or_else(|| format!("valgrind printed no count:\n{told}"))?;
    Ok(count.replace(',', "").trim().parse()?)
}

fn prepare(name: &str, folder: PathBuf) -> Result<(), Failure> {
    let prepare =
        path(name)?.prepare.ok_or_else(|| format!("the path {name} reads nothing that is prepared"))?;
    runtime()?.block_on(prepare(folder));
    Ok(())
}

fn run(name: &str, folder: PathBuf, runs: &str) -> Result<(), Failure> {
    runtime()?.block_on((path(name)?.run)(folder, runs.parse()?));
    Ok(())
}

fn path(name: &str) -> Result<&'static Path, Failure> {
    PATHS.iter().find(|path| path.name == name).ok_or_else(|| format!("no path {name}").into())
}

/// One thread beside those of the store: the less they take turns, the less the figures vary.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
