//! Reads streams of a hundred events, and a hundred events of longer streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ees_store::postgres::Store;
use ees_store::{ChangesetId, EventStore, StreamId, StreamQuery, StreamRange};

use crate::limits;
use crate::server::{Databases, settle};
use crate::shared::append::fill;
use crate::shared::report::{Report, timed_async};
use crate::shared::workload::Workload;

pub(crate) const CHANGESETS_A_PAGE: usize = 5_000;
/// A hundred events.
const CHANGESETS: u64 = 50;

pub(crate) async fn measure(workload: &Workload, databases: &Databases, report: &mut Report) {
    let reads = workload.appends.min(50_000) * 2 / 5;
    let short = Workload { streams: workload.appends / CHANGESETS, ..*workload };
    let (store, url) = filled(&short, databases).await;
    for (clients, aim) in [(1, 5_000.0), (8, 12_000.0)] {
        let ids = (0..short.streams).map(|n| short.stream(n).0.as_str().to_owned()).collect();
        let took = limits::streams(&url, &Arc::new(ids), clients, reads).await;
        let what = format!("limit: 100 events in one text, {clients} clients, reads/s");
        let limit = report.rate(&what, reads, took, None, None);
        let took = read(&store, &short, clients, reads).await;
        let what = format!("read a stream of 100 events, {clients} clients, reads/s");
        report.rate(&what, reads, took, Some(limit), Some(aim));
    }
    let long = Workload { streams: (workload.appends / 2_500).max(1), ..*workload };
    let (store, _) = filled(&long, databases).await;
    for clients in [1, 8] {
        let took = read(&store, &long, clients, reads).await;
        let what = format!("100 events of a long stream, {clients} clients, reads/s");
        report.rate(&what, reads, took, None, None);
    }
}

async fn filled(workload: &Workload, databases: &Databases) -> (Arc<dyn EventStore>, String) {
    let url = databases.fresh().await;
    let store: Arc<dyn EventStore> = Arc::new(Store::connect(&url).await.unwrap());
    fill(&*store, workload).await;
    settle(&url).await;
    (store, url)
}

/// Reads each stream in turn: a hundred events, at a position that jumps.
async fn read(store: &Arc<dyn EventStore>, workload: &Workload, clients: u64, reads: u64) -> Duration {
    let next = Arc::new(AtomicU64::new(0));
    let workload = *workload;
    let read_all = async {
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let (store, next) = (store.clone(), next.clone());
                tokio::spawn(async move {
                    loop {
                        let n = next.fetch_add(1, Relaxed);
                        if n >= reads {
                            return;
                        }
                        let parts = workload.appends / workload.streams / CHANGESETS;
                        let from = n / workload.streams % parts * CHANGESETS + 1;
                        let page = store.read_stream(part(workload.stream(n).0, from)).await.unwrap();
                        assert_eq!(page.changesets.len() as u64, CHANGESETS);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    };
    timed_async(read_all).await.1
}

fn part(stream_id: StreamId, from: u64) -> StreamQuery {
    let range = StreamRange::Changesets { from: ChangesetId::new(from), to: None };
    StreamQuery { range, limit: CHANGESETS as usize, ..StreamQuery::all(stream_id) }
}
