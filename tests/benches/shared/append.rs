//! Appends through the library: parallel writers, each waiting for its own verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ees_store::EventStore;

use super::workload::Workload;

pub(crate) struct Appended {
    pub(crate) took: Duration,
    /// How long each append waited for its verdict.
    pub(crate) waits: Vec<Duration>,
}

/// Sends each append once. The appends of a stream keep their order, because the writers share one counter,
/// and a stream recurs only after all others.
pub(crate) async fn append(
    store: &Arc<dyn EventStore>,
    workload: &Workload,
    appends: u64,
    writers: u64,
) -> Appended {
    let next = Arc::new(AtomicU64::new(0));
    let workload = Arc::new(*workload);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (store, workload, next) = (store.clone(), workload.clone(), next.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    if n >= appends {
                        return waits;
                    }
                    let commit = workload.commit(n);
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
    const TOGETHER: usize = 500;
    for from in (0..workload.appends).step_by(TOGETHER) {
        let to = workload.appends.min(from + TOGETHER as u64);
        for verdict in store.commit_in_order((from..to).map(|n| workload.commit(n)).collect()).await {
            verdict.unwrap();
        }
    }
}
