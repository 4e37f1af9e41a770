//! Appends by plain statements.

use sqlx::PgConnection;

use crate::plain::insert;
use crate::server::{Databases, with_tables};
use crate::shared::report::{Report, timed_async};
use crate::shared::workload::Workload;

pub(crate) struct Appends {
    /// One append per transaction, events/s.
    pub(crate) singly: f64,
    /// 64 appends per transaction, in one statement, events/s.
    pub(crate) by_64: f64,
}

pub(crate) async fn appends(workload: &Workload, databases: &Databases, report: &mut Report) -> Appends {
    let appends = workload.appends.min(10_000);
    let (_, mut connection) = with_tables(databases).await;
    let (_, took) = timed_async(one_by_one(&mut connection, workload, appends)).await;
    let singly = report.rate("limit: autocommit inserts", appends * 2, took, None, None);
    let mut together = async |at_once: usize| {
        let (_, mut connection) = with_tables(databases).await;
        let (_, took) = timed_async(insert(&mut connection, workload.all(), at_once)).await;
        let what = format!("limit: {at_once} appends a transaction, UNNEST");
        report.rate(&what, workload.events(), took, None, None)
    };
    let by_64 = together(64).await;
    together(500).await;
    Appends { singly, by_64 }
}

async fn one_by_one(connection: &mut PgConnection, workload: &Workload, appends: u64) {
    for n in 0..appends {
        let (stream, last) = workload.stream(n);
        let insert = sqlx::query(
            "INSERT INTO ees_store.changesets (checkpoint, changeset_id, first_event_id, event_count, timestamp,
                                               stream_id, events, metadata)
             VALUES ($1, $2, 1, 2, 0, $3, $4, '{}')",
        );
        let insert =
            insert.bind(n as i64).bind(last as i64 + 1).bind(stream.as_str()).bind(Workload::body(n));
        insert.execute(&mut *connection).await.unwrap();
    }
}
