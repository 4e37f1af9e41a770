//! The time from an insert to a row of a read model, by NOTIFY alone.

use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;

/// Appends one at a time, each after the follower has the one before. Returns how long each took to become
/// visible.
pub(crate) async fn follower(url: &str, appends: u64) -> Vec<Duration> {
    let mut writer = PgConnection::connect(url).await.unwrap();
    let make = "CREATE TABLE log (checkpoint bigint PRIMARY KEY, events text NOT NULL);
                CREATE TABLE totals (key text PRIMARY KEY, amount bigint NOT NULL)";
    sqlx::raw_sql(make).execute(&mut writer).await.unwrap();
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("raw").await.unwrap();
    let (applied, mut visible) = mpsc::unbounded_channel();
    let mut model = PgConnection::connect(url).await.unwrap();
    let following = tokio::spawn(async move {
        let mut next = 0_i64;
        while next < appends as i64 {
            listener.recv().await.unwrap();
            let mut tx = model.begin().await.unwrap();
            let rows: Vec<(i64, String)> = sqlx::query_as(
                "SELECT checkpoint, events FROM log WHERE checkpoint >= $1 ORDER BY checkpoint",
            )
            .bind(next)
            .fetch_all(&mut *tx)
            .await
            .unwrap();
            next += rows.len() as i64;
            let upsert = sqlx::query(
                "INSERT INTO totals AS t VALUES ('all', $1)
                 ON CONFLICT (key) DO UPDATE SET amount = t.amount + excluded.amount",
            );
            upsert.bind(rows.len() as i64).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
            applied.send(next).unwrap();
        }
    });
    let mut times = Vec::new();
    for n in 0..appends as i64 {
        let begun = Instant::now();
        let append = sqlx::query(
            "WITH stored AS (INSERT INTO log VALUES ($1, '[{}]') RETURNING checkpoint)
             SELECT pg_notify('raw', checkpoint::text) FROM stored",
        );
        append.bind(n).execute(&mut writer).await.unwrap();
        while visible.recv().await.unwrap() <= n {}
        times.push(begun.elapsed());
    }
    following.await.unwrap();
    times
}
