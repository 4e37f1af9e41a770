//! Appends through the library: parallel writers, each waiting for its own verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ees_store::{Commit, EventStore};

use super::workload::{Append, Workload};

pub(crate) struct Appended {
    pub(crate) took: Duration,
    /// How long each append waited for its verdict.
    pub(crate) waits: Vec<Duration>,
}

/// Sends each append once. The appends of a stream keep their order if it recurs only after many others, because the writers
/// share one counter.
pub(crate) async fn append(
    store: &Arc<dyn EventStore>,
    appends: u64,
    writers: u64,
    commit: impl Fn(u64) -> Commit + Clone + Send + 'static,
) -> Appended {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (store, commit, next) = (store.clone(), commit.clone(), next.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    if n >= appends {
                        return waits;
                    }
                    let commit = commit(n);
                    let begun = Instant::now();
                    store.commit(commit).await.unwrap();
                    waits.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    Appended { took: begun.elapsed(), waits }
}

/// Appends the whole workload quickly, to prepare other measurements.
pub(crate) async fn fill(store: &dyn EventStore, workload: &Workload) {
    append_together(store, workload.all()).await;
}

/// Appends some hundreds in one call.
pub(crate) async fn append_together(store: &dyn EventStore, appends: impl Iterator<Item = Append>) {
    const TOGETHER: usize = 500;
    let mut commits = appends.map(|append| append.commit()).peekable();
    while commits.peek().is_some() {
        for verdict in store.commit_in_order(commits.by_ref().take(TOGETHER).collect()).await {
            verdict.unwrap();
        }
    }
}
