//! Appends through the library: writers side by side, each waiting for its own verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ees_store::{EventStore, sqlite};

use crate::limits::Limits;
use crate::report::Report;
use crate::workload::Workload;

pub(crate) async fn measure(workload: &Workload, limits: &Limits, report: &mut Report) {
    for (writers, aim) in [(1, 9_000.0), (8, 40_000.0), (64, 100_000.0)] {
        let appends = workload.appends.min(if writers == 1 { 10_000 } else { u64::MAX });
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
        let took = append(&store, workload, appends, writers).await;
        let limit = if writers == 1 { limits.singly } else { limits.by_thousand };
        report.rate(
            &format!("append, library, {writers} writers"),
            appends * 2,
            took,
            Some(limit),
            Some(aim),
        );
    }
}

/// Each append once; a stream's appends follow each other, because the writers share one counter and a stream
/// comes round only after all others.
pub(crate) async fn append(
    store: &Arc<sqlite::Store>,
    workload: &Workload,
    appends: u64,
    writers: u64,
) -> Duration {
    let next = Arc::new(AtomicU64::new(0));
    let workload = Workload { ..*workload };
    let workload = Arc::new(workload);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (store, workload, next) = (store.clone(), workload.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    if n >= appends {
                        return;
                    }
                    store.commit(workload.commit(n)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.elapsed()
}
