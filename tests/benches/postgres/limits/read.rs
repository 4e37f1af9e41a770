//! Reads the log and streams by plain statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, Row};

use crate::shared::report::{Report, timed_async};
use crate::shared::workload::Workload;

/// Rows read one by one, events/s.
pub(crate) async fn scan(workload: &Workload, url: &str, report: &mut Report) -> f64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let scan = async {
        let mut rows =
            sqlx::query("SELECT * FROM ees_store.changesets ORDER BY checkpoint").fetch(&mut connection);
        let mut seen = 0;
        while let Some(row) = rows.try_next().await.unwrap() {
            seen += u64::from(!row.get::<String, _>("events").is_empty());
        }
        assert_eq!(seen, workload.appends);
    };
    let ((), took) = timed_async(scan).await;
    report.rate("limit: scan, row by row", workload.events(), took, None, None)
}

/// A stream's events as one row of text. Returns how many of these rows `clients` read per second.
pub(crate) async fn streams(url: &str, ids: &Arc<Vec<String>>, clients: u64, reads: u64) -> Duration {
    let pool = PgPoolOptions::new().max_connections(clients as u32).connect(url).await.unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let read_all = async {
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let (pool, ids, next) = (pool.clone(), ids.clone(), next.clone());
                tokio::spawn(async move {
                    let mut connection = pool.acquire().await.unwrap();
                    loop {
                        let n = next.fetch_add(1, Relaxed);
                        if n >= reads {
                            return;
                        }
                        let read = sqlx::query_scalar(
                            "SELECT string_agg(events, ',' ORDER BY changeset_id) FROM ees_store.changesets
                             WHERE stream_id = $1",
                        );
                        let id = &ids[(n * 7 % ids.len() as u64) as usize];
                        let text: String = read.bind(id).fetch_one(&mut *connection).await.unwrap();
                        assert!(text.len() > 10_000);
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
