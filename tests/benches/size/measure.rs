//! Measures a log and the plain one beside it, at each size.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::{ChangesetLog, Checkpoint, EventStore, StreamId, StreamQuery};
use ees_tests::{Server, binary};

use crate::growth::{Growth, LONG, Size};
use crate::shared::append::{append, append_together};
use crate::shared::report::{peak_memory_mb_of, timed_async};
use crate::shared::workload::{Append, EVENTS_AN_APPEND};

const WRITERS: u64 = 64;
/// Both are measured in turns, so that they have the same disk.
const ROUNDS: u64 = 5;
const READS_A_ROUND: u64 = 2_000;

/// A log of ees, and one of plain statements that has the same changesets.
pub(crate) trait Subject {
    type Store: EventStore + ChangesetLog;

    async fn open(&self) -> Arc<Self::Store>;
    /// Inserts appends by plain statements, as fast as they can: many in a transaction.
    async fn insert(&mut self, appends: Vec<Append>);
    /// Reads each stream by a plain statement.
    async fn select(&mut self, streams: &[StreamId]);
    /// Does what the database would do in the minutes after a load.
    async fn settle(&mut self);
    /// Builds a read model of the whole log, in a new database.
    async fn fold(&self, store: Arc<Self::Store>, head: Checkpoint) -> Duration;
    /// Builds it by plain statements.
    async fn fold_plainly(&mut self);
    /// Where `ees serve` finds the log: its data folder, and more arguments.
    fn served(&self) -> (&Path, Vec<String>);
}

/// A rate of ees, and that of plain statements.
#[derive(Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) ees: f64,
    pub(crate) plain: f64,
}

/// At one size.
pub(crate) struct Figures {
    pub(crate) events: u64,
    pub(crate) append: Rates,
    pub(crate) read: Rates,
    pub(crate) fold: Rates,
}

impl Figures {
    pub(crate) fn rates(&self) -> [(&'static str, Rates); 3] {
        [
            ("append, 64 writers, events/s", self.append),
            ("read a stream of 100 events, reads/s", self.read),
            ("catch up, fold onto columns, events/s", self.fold),
        ]
    }
}

pub(crate) async fn measure(mut subject: impl Subject, sizes: &[Size]) -> Vec<Figures> {
    let mut growth = Growth::default();
    let mut measured: Vec<Figures> = Vec::new();
    for size in sizes {
        growth.begin(size);
        let figures = at(&mut subject, &mut growth, size).await;
        println!("\n{} events, {} times the smallest log", size.events(), size.times);
        println!("{:<40} {:>10} {:>10} {:>8}", "", "ees", "plain SQL", "ratio");
        for (number, (what, rates)) in figures.rates().into_iter().enumerate() {
            let Rates { ees, plain } = rates;
            print!("{what:<40} {ees:>10.0} {plain:>10.0} {:>8.2}", ees / plain);
            if let Some(first) = measured.first() {
                let (_, small) = first.rates()[number];
                print!("   of the smallest: ees {:.2}, plain {:.2}", ees / small.ees, plain / small.plain);
            }
            println!();
        }
        let (started, memory_mb) = serve(&subject, size);
        println!(
            "ees serve: starts in {:.2} s, and has used at most {memory_mb} MB once its read models have the whole log",
            started.as_secs_f64()
        );
        measured.push(figures);
    }
    measured
}

async fn at(subject: &mut impl Subject, growth: &mut Growth, size: &Size) -> Figures {
    const AT_ONCE: u64 = 10_000;
    let store = subject.open().await;
    let mut left = growth.unmeasured();
    while left > 0 {
        let appends = growth.next(size, left.min(AT_ONCE));
        left -= appends.len() as u64;
        append_together(&*store, appends.iter().cloned()).await;
        subject.insert(appends).await;
    }
    subject.settle().await;
    let (mut append_times, mut read_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let appends = growth.next(size, size.measured / ROUNDS);
        append_times.push(appended(subject, store.clone(), appends).await);
    }
    subject.settle().await;
    for round in 0..ROUNDS {
        let streams =
            growth.long_streams(READS_A_ROUND * (round + 1)).split_off((READS_A_ROUND * round) as usize);
        let read = async {
            for stream in &streams {
                let page = store.read_stream(StreamQuery::all(stream.clone())).await.unwrap();
                assert_eq!(page.changesets.len() as u64, LONG);
            }
        };
        let ((), ees) = timed_async(read).await;
        let ((), plain) = timed_async(subject.select(&streams)).await;
        read_times.push((ees, plain));
    }
    let fold = subject.fold(store, size.appends.into()).await;
    let ((), fold_plainly) = timed_async(subject.fold_plainly()).await;
    Figures {
        events: size.events(),
        append: rates(size.measured / ROUNDS * EVENTS_AN_APPEND, append_times),
        read: rates(READS_A_ROUND, read_times),
        fold: rates(size.events(), vec![(fold, fold_plainly)]),
    }
}

async fn appended(
    subject: &mut impl Subject,
    store: Arc<dyn EventStore>,
    appends: Vec<Append>,
) -> (Duration, Duration) {
    let commits: Arc<[Append]> = appends.clone().into();
    let count = commits.len() as u64;
    let ees = append(&store, count, WRITERS, move |n| commits[n as usize].commit()).await.took;
    let ((), plain) = timed_async(subject.insert(appends)).await;
    (ees, plain)
}

/// The medians of what was done in these times.
fn rates(done: u64, times: Vec<(Duration, Duration)>) -> Rates {
    let median = |times: Vec<Duration>| {
        let mut times = times;
        times.sort();
        done as f64 / times[times.len() / 2].as_secs_f64()
    };
    let (ees, plain) = times.into_iter().unzip();
    Rates { ees: median(ees), plain: median(plain) }
}

/// The time until `ees serve` listens, and the most memory it has used, in MB, when its read models have the whole log.
fn serve(subject: &impl Subject, size: &Size) -> (Duration, u64) {
    let (data, arguments) = subject.served();
    let read_models = tempfile::tempdir().unwrap();
    let read_models = format!("sqlite:{}", read_models.path().display());
    let mut all = vec!["--read-models", &read_models];
    all.extend(arguments.iter().map(String::as_str));
    // Built before the time counts.
    binary("ees");
    let begun = Instant::now();
    let mut server = Server::start_with(data, &all);
    let started = begun.elapsed();
    let is_behind =
        |name: &str| server.get_json(&format!("/projections/{name}"))["checkpoint"] != size.appends;
    while ["statistics", "stream_catalogue"].into_iter().any(is_behind) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let memory_mb = peak_memory_mb_of(&server.process().0.id().to_string());
    assert!(memory_mb > 0 && server.stop().success());
    (started, memory_mb)
}
