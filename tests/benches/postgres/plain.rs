//! The log and a read model by plain statements.

use std::collections::HashMap;

use sqlx::{PgConnection, Row};

use crate::shared::read::amounts;
use crate::shared::workload::{Append, Workload};

/// Inserts appends, so many in a statement and a transaction.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    appends: impl Iterator<Item = Append>,
    at_once: usize,
) {
    let mut appends = appends.peekable();
    while appends.peek().is_some() {
        let batch: Vec<_> = appends.by_ref().take(at_once).collect();
        let insert = sqlx::query(
            "INSERT INTO ees_store.changesets (checkpoint, changeset_id, first_event_id, event_count, timestamp,
                                               stream_id, events, metadata)
             SELECT checkpoint, changeset_id, 1, 2, 0, stream_id, events, '{}'
             FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
                 AS a (checkpoint, changeset_id, stream_id, events)",
        );
        let insert = insert
            .bind(batch.iter().map(|append| append.n as i64).collect::<Vec<_>>())
            .bind(batch.iter().map(|append| append.last as i64 + 1).collect::<Vec<_>>())
            .bind(batch.iter().map(|append| append.stream_id.as_str()).collect::<Vec<_>>())
            .bind(batch.iter().map(|append| Workload::body(append.n)).collect::<Vec<_>>());
        insert.execute(&mut *connection).await.unwrap();
    }
}

/// Makes an empty read model.
pub(crate) async fn empty(connection: &mut PgConnection) {
    let make =
        "DROP TABLE IF EXISTS balances; CREATE TABLE balances (key text PRIMARY KEY, amount bigint NOT NULL)";
    sqlx::raw_sql(make).execute(connection).await.unwrap();
}

/// A part of the log.
pub(crate) async fn page(
    connection: &mut PgConnection,
    from: u64,
    changesets: u64,
) -> Vec<(String, Vec<i64>)> {
    let page = sqlx::query(
        "SELECT stream_id, events FROM ees_store.changesets WHERE checkpoint >= $1 AND checkpoint < $2
         ORDER BY checkpoint",
    );
    let rows = page.bind(from as i64).bind((from + changesets) as i64).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| (row.get(0), amounts(row.get::<&str, _>(1)))).collect()
}

/// Folds the log, with one write for so many changesets.
pub(crate) async fn fold(connection: &mut PgConnection, changesets: u64) {
    let mut from = 0;
    loop {
        let page = page(connection, from, changesets).await;
        if page.is_empty() {
            return;
        }
        from += changesets;
        let mut changed = HashMap::<String, i64>::new();
        for (stream, amounts) in page {
            *changed.entry(stream).or_default() += amounts.iter().sum::<i64>();
        }
        let (keys, amounts): (Vec<_>, Vec<_>) = changed.into_iter().unzip();
        let upsert = sqlx::query(
            "INSERT INTO balances AS b SELECT * FROM unnest($1::text[], $2::bigint[])
             ON CONFLICT (key) DO UPDATE SET amount = b.amount + excluded.amount",
        );
        upsert.bind(keys).bind(amounts).execute(&mut *connection).await.unwrap();
    }
}
