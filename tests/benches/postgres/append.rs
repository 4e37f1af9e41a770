//! Appends through the library, in one process and in two.

use std::sync::Arc;

use ees_store::EventStore;
use ees_store::postgres::Store;

use crate::limits;
use crate::processes;
use crate::server::Databases;
use crate::shared::append::append;
use crate::shared::report::Report;
use crate::shared::workload::Workload;

pub(crate) async fn measure(workload: &Workload, databases: &Databases, report: &mut Report) {
    let limits = limits::appends(workload, databases, report).await;
    for (writers, aim, latency) in [(1, 6_500.0, ""), (8, 30_000.0, ""), (64, 80_000.0, "p99 2.5 ms")] {
        let appends = workload.appends.min(if writers == 1 { 10_000 } else { u64::MAX });
        let url = databases.fresh().await;
        let store: Arc<dyn EventStore> = Arc::new(Store::connect(&url).await.unwrap());
        let appended = append(&store, appends, writers, workload.commits()).await;
        let limit = if writers == 1 { limits.singly } else { limits.by_64 };
        let what = format!("append, library, {writers} writers");
        report.rate(&what, appends * 2, appended.took, Some(limit), Some(aim));
        report.percentiles(&what, appended.waits, latency);
    }
    for processes in [1, 2] {
        let url = databases.fresh().await;
        drop(Store::connect(&url).await.unwrap());
        let took = processes::append_in(processes, &url, workload).await;
        let what = format!("append, {processes} processes of 64 writers");
        report.rate(&what, processes * workload.events(), took, Some(limits.by_64), None);
    }
}
