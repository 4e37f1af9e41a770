//! Appends through the library.

use std::sync::Arc;

use ees_store::{EventStore, sqlite};

use crate::limits::Limits;
use crate::shared::append::append;
use crate::shared::report::Report;
use crate::shared::workload::Workload;

/// Returns how many events 64 writers append a second.
pub(crate) async fn measure(workload: &Workload, limits: &Limits, report: &mut Report) -> f64 {
    let mut rate = 0.0;
    for (writers, aim) in [(1, 9_000.0), (8, 40_000.0), (64, 100_000.0)] {
        let appends = workload.appends.min(if writers == 1 { 10_000 } else { u64::MAX });
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn EventStore> = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
        let took = append(&store, appends, writers, workload.commits()).await.took;
        let limit = if writers == 1 { limits.singly } else { limits.by_thousand };
        rate = report.rate(
            &format!("append, library, {writers} writers"),
            appends * 2,
            took,
            Some(limit),
            Some(aim),
        );
    }
    rate
}
