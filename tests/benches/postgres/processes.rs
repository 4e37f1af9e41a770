//! Several store processes on one log. A writer process is this program again.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::EventStore;
use ees_store::postgres::Store;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::shared::append::append;
use crate::shared::workload::Workload;

const WRITER: &str = "--writer";
const WRITERS: u64 = 64;

pub(crate) fn is_writer(arguments: &[String]) -> bool {
    arguments.get(1).is_some_and(|argument| argument == WRITER)
}

/// Appends the whole workload in each of the processes, to separate streams. Measures from the start signal
/// until the last process is done, and prints who had the processors: if nobody else has any of them left, they are the limit.
pub(crate) async fn append_in(processes: u64, url: &str, workload: &Workload) -> Duration {
    let mut writers: Vec<Writer> =
        (0..processes).map(|number| Writer::start(number, url, workload)).collect();
    for writer in &mut writers {
        writer.hear("ready").await;
    }
    let (begun, before) = (Instant::now(), Ticks::now());
    for writer in &mut writers {
        writer.words.write_all(b"begin\n").await.unwrap();
    }
    for writer in &mut writers {
        writer.hear("done").await;
    }
    let (took, after) = (begun.elapsed(), Ticks::now());
    for writer in &mut writers {
        assert!(writer.child.wait().await.unwrap().success());
    }
    // What they have used is told when they have ended.
    let writers = Ticks::now().of_children - before.of_children;
    let share = |ticks: u64| 100.0 * ticks as f64 / (after.all - before.all) as f64;
    println!(
        "    of the processors, the writers had {:.0} %, PostgreSQL and others {:.0} %, and {:.0} % were idle",
        share(writers),
        share((after.all - before.all).saturating_sub(after.idle - before.idle + writers)),
        share(after.idle - before.idle)
    );
    took
}

/// What the processors have done since the machine started, and what the children of this process have used.
struct Ticks {
    all: u64,
    idle: u64,
    of_children: u64,
}

impl Ticks {
    fn now() -> Self {
        let numbers = |line: &str| -> Vec<u64> {
            line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
        };
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let machine = numbers(stat.lines().next().unwrap_or_default());
        let own = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // After the name of the program, which may have spaces.
        let own: Vec<_> = own.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let of_children =
            own.get(13..15).unwrap_or_default().iter().filter_map(|ticks| ticks.parse::<u64>().ok());
        Self {
            // User, nice, system, idle, waiting for a disk, interrupts.
            all: machine.iter().take(7).sum(),
            idle: machine.get(3..5).unwrap_or_default().iter().sum(),
            of_children: of_children.sum(),
        }
    }
}

struct Writer {
    child: Child,
    words: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(number: u64, url: &str, workload: &Workload) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([WRITER, url]);
        command.args([workload.appends, workload.streams, number * workload.streams].map(|n| n.to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let words = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, words, answers }
    }

    async fn hear(&mut self, word: &str) {
        assert_eq!(self.answers.next_line().await.unwrap().as_deref(), Some(word));
    }
}

/// The writer process: connects and reports that, waits for the start signal, appends, and reports that.
pub(crate) async fn write(arguments: &[String]) {
    let number = |at: usize| arguments[at].parse::<u64>().unwrap();
    let workload = Workload { appends: number(3), streams: number(4), first_stream: number(5) };
    let store: Arc<dyn EventStore> = Arc::new(Store::connect(&arguments[2]).await.unwrap());
    say("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    append(&store, workload.appends, WRITERS, workload.commits()).await;
    say("done");
}

fn say(word: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{word}").unwrap();
    stdout.flush().unwrap();
}
