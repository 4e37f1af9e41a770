//! Builds read models by plain statements, and reads the log from PostgreSQL too.

use std::collections::HashMap;

use futures::TryStreamExt;
use sqlx::postgres::PgPoolCopyExt;
use sqlx::{Connection, PgConnection, PgPool};

use crate::plain::{empty, fold, page};
use crate::shared::read::amounts;
use crate::shared::report::{Report, timed_async};
use crate::shared::workload::{EVENTS_AN_APPEND, Workload};

pub(crate) struct Folds {
    /// One write for 5,000 events, events/s.
    pub(crate) by_5_000: f64,
    /// One statement for each event, a thousand events per transaction, events/s.
    pub(crate) singly: f64,
}

pub(crate) async fn folds(workload: &Workload, url: &str, report: &mut Report) -> Folds {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut by = async |events: u64| {
        empty(&mut connection).await;
        let ((), took) = timed_async(fold(&mut connection, events / EVENTS_AN_APPEND)).await;
        let what = format!("limit: fold, an UNNEST write for {events} events");
        report.rate(&what, workload.events(), took, None, None)
    };
    by(1_000).await;
    let by_5_000 = by(5_000).await;
    empty(&mut connection).await;
    let ((), took) = timed_async(fold_all(url)).await;
    report.rate("limit: fold all, COPY both ways", workload.events(), took, None, None);
    empty(&mut connection).await;
    let events = workload.events().min(20_000);
    let ((), took) = timed_async(event_by_event(&mut connection, events / EVENTS_AN_APPEND)).await;
    let singly = report.rate("limit: a statement an event, 1,000 a transaction", events, took, None, None);
    Folds { by_5_000, singly }
}

async fn event_by_event(connection: &mut PgConnection, changesets: u64) {
    const CHANGESETS: u64 = 1_000 / EVENTS_AN_APPEND;
    let mut from = 0;
    while from < changesets {
        let page = page(connection, from, CHANGESETS).await;
        from += CHANGESETS;
        let mut tx = connection.begin().await.unwrap();
        for (stream, amounts) in page {
            for amount in amounts {
                let upsert = sqlx::query(
                    "INSERT INTO balances AS b VALUES ($1, $2)
                     ON CONFLICT (key) DO UPDATE SET amount = b.amount + excluded.amount",
                );
                upsert.bind(&stream).bind(amount).execute(&mut *tx).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
    }
}

async fn fold_all(url: &str) {
    let pool = PgPool::connect(url).await.unwrap();
    let mut all = HashMap::<String, i64>::new();
    {
        let copy = "COPY (SELECT stream_id, events FROM ees_store.changesets ORDER BY checkpoint)
                    TO STDOUT (FORMAT binary)";
        let mut rows = pool.copy_out_raw(copy).await.unwrap();
        let mut first = true;
        while let Some(row) = rows.try_next().await.unwrap() {
            // The header comes before the first row, in the same message or in one of its own.
            let row = if std::mem::take(&mut first) { &row[19..] } else { &row[..] };
            let Some((stream, rest)) = row.get(2..).and_then(field) else { continue };
            let (events, _) = field(rest).unwrap();
            *all.entry(stream.to_owned()).or_default() += amounts(events).iter().sum::<i64>();
        }
    }
    let mut text = String::new();
    for (stream, amount) in all {
        text.push_str(&format!("{stream}\t{amount}\n"));
    }
    let mut copy = pool.copy_in_raw("COPY balances FROM STDIN").await.unwrap();
    copy.send(text.into_bytes()).await.unwrap();
    copy.finish().await.unwrap();
}

fn field(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(text).unwrap(), rest))
}
