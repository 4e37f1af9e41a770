//! Indexing inside a process that commits: at once, and now and then what was missed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::head::Head;
use super::plan::{BATCH_MAX, Candidate};
use super::sweep;
use super::table::Table;
use super::worker::Worker;
use crate::aws::ATTEMPT_MAX;

/// Changesets that wait to be indexed, at most; a sweep finds those which there was no room for.
const WAITING_MAX: usize = 10_000;
/// From one sweep to the next, at least.
const SWEEP_MIN: Duration = Duration::from_secs(5);
/// How often the pause between two sweeps doubles while nothing happens.
const DOUBLINGS_MAX: u32 = 4;
/// After indexing failed for as long as a call is tried.
const PAUSE: Duration = Duration::from_secs(1);

/// Where commits leave their changesets to be indexed.
#[derive(Clone)]
pub(super) struct Queue {
    waiting: mpsc::Sender<Candidate>,
    in_doubt: mpsc::Sender<(Instant, Candidate)>,
    overflow: Arc<Notify>,
}

/// The other end.
pub(super) struct Waiting {
    waiting: mpsc::Receiver<Candidate>,
    in_doubt: mpsc::Receiver<(Instant, Candidate)>,
    overflow: Arc<Notify>,
}

pub(super) fn queue() -> (Queue, Waiting) {
    let (sender, waiting) = mpsc::channel(WAITING_MAX);
    let (doubtful, in_doubt) = mpsc::channel(WAITING_MAX);
    let overflow = Arc::new(Notify::new());
    let queue = Queue { waiting: sender, in_doubt: doubtful, overflow: overflow.clone() };
    (queue, Waiting { waiting, in_doubt, overflow })
}

impl Queue {
    /// Leaves a changeset to be indexed. Never waits.
    pub(super) fn push(&self, candidate: Candidate) {
        if self.waiting.try_send(candidate).is_err() {
            self.overflow.notify_one();
        }
    }

    /// Leaves a changeset that may be stored, or be so in a moment: it is looked for at once, and once more
    /// when no attempt to write it can be under way any longer. Never waits.
    pub(super) fn push_in_doubt(&self, candidate: Candidate) {
        if self.in_doubt.try_send((Instant::now() + ATTEMPT_MAX, candidate.clone())).is_err() {
            self.overflow.notify_one();
        }
        self.push(candidate);
    }
}

/// Indexes what is left in the queue: all that has come meanwhile goes together.
pub(super) async fn drain(
    mut worker: Worker,
    mut queue: Waiting,
    every: Duration,
    (table, head): (Table, Arc<Head>),
    own: Queue,
) {
    let doubting = tokio::spawn(look_again(queue.in_doubt, own.clone()));
    let sweeping = tokio::spawn(sweep_now_and_then(table, head, own, queue.overflow.clone(), every));
    let _stop = (AbortOnDrop(doubting), AbortOnDrop(sweeping));
    let mut waiting = Vec::new();
    loop {
        let due = worker.due_at();
        tokio::select! {
            arrived = queue.waiting.recv_many(&mut waiting, BATCH_MAX) => if arrived == 0 { return },
            () = at(due) => {}
        }
        while let Err(error) = worker.index(&mut waiting).await {
            tracing::warn!(%error, changesets = waiting.len(), "failed to index changesets; will retry");
            tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// They come in the order in which they are due.
async fn look_again(mut in_doubt: mpsc::Receiver<(Instant, Candidate)>, queue: Queue) {
    while let Some((due, candidate)) = in_doubt.recv().await {
        tokio::time::sleep_until(due).await;
        if queue.waiting.send(candidate).await.is_err() {
            return;
        }
    }
}

/// At the start for what a process that died has left, then again and again, and when the queue was full.
async fn sweep_now_and_then(
    table: Table,
    head: Arc<Head>,
    queue: Queue,
    overflow: Arc<Notify>,
    every: Duration,
) {
    let mut doublings = 0;
    let mut watched_since = Instant::now();
    loop {
        let begun = Instant::now();
        let mut from = None;
        let mut read_units = 0.0;
        loop {
            match sweep::part(&table, from.clone()).await {
                Ok(part) => {
                    for candidate in part.found {
                        if queue.waiting.send(candidate).await.is_err() {
                            return;
                        }
                    }
                    read_units += part.read_units;
                    from = part.next;
                    if from.is_none() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to sweep the table; will retry");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            tokio::time::sleep(sweep::PAUSE).await;
        }
        // Where the log has not grown, nobody was there to miss anything; but for one who died right away.
        let is_quiet = head.look(&table).await.is_ok() && head.quiet() > watched_since.elapsed();
        doublings = if is_quiet { DOUBLINGS_MAX.min(doublings + 1) } else { 0 };
        watched_since = begun;
        let pause = pause_after(read_units, doublings, every);
        // Not all processes at once.
        let _ = tokio::time::timeout(pause.mul_f64(0.8 + 0.4 * fastrand::f64()), overflow.notified()).await;
    }
}

/// A second for each unit that the last sweep took, and longer the longer nothing happens.
fn pause_after(read_units: f64, doublings: u32, every: Duration) -> Duration {
    let took = Duration::try_from_secs_f64(read_units).unwrap_or(every).max(SWEEP_MIN);
    took.saturating_mul(1 << doublings.min(DOUBLINGS_MAX)).min(every)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_where_nothing_happens_is_swept_less_often() {
        let day = Duration::from_secs(24 * 60 * 60);
        let seconds = |units, doublings, every| pause_after(units, doublings, every).as_secs();
        assert_eq!((seconds(0.5, 0, day), seconds(0.5, 2, day), seconds(0.5, 9, day)), (5, 20, 80));
        assert_eq!((seconds(128.0, 0, day), seconds(128.0, 4, day)), (128, 2_048));
        assert_eq!((seconds(1e6, 0, day), seconds(f64::INFINITY, 0, day)), (86_400, 86_400));
        assert_eq!(seconds(128.0, 4, Duration::from_secs(2)), 2);
    }
}
