//! The read model in PostgreSQL: a row for each stream.

use std::time::{Duration, Instant};

use crate::postgres::connect;
use crate::{Report, Task, View};

const TABLE: &str =
    "CREATE TABLE account (id text PRIMARY KEY, balance bigint NOT NULL, event_count bigint NOT NULL,
    last_event_id bigint NOT NULL)";

/// Applies an event: the account, its amount, its place in the log or stream.
pub const UPSERT: &str =
    "INSERT INTO account AS a (id, balance, event_count, last_event_id) VALUES ($1, $2, 1, $3)
    ON CONFLICT (id) DO UPDATE SET balance = a.balance + excluded.balance, event_count = a.event_count + 1,
    last_event_id = excluded.last_event_id";

const SUMS: &str =
    "SELECT count(*), coalesce(sum(event_count), 0)::bigint, coalesce(sum(balance), 0)::bigint FROM ";

/// Creates the table.
///
/// # Panics
/// When it exists.
pub async fn create(task: &Task) {
    connect(&task.database).await.batch_execute(TABLE).await.expect("the database has no such table");
}

/// The sums over the table.
///
/// # Panics
/// When there is no such table.
pub async fn view(task: &Task) -> View {
    view_of(task, "account").await
}

/// The sums over another table, or a query in brackets with an alias, that has the columns `event_count` and
/// `balance`.
///
/// # Panics When there is no such table.
pub async fn view_of(task: &Task, table: &str) -> View {
    let row = connect(&task.database)
        .await
        .query_one(&format!("{SUMS}{table}"), &[])
        .await
        .expect("the table exists");
    View { rows: row.get(0), events: row.get(1), balance: row.get(2) }
}

/// What a catch-up has left in the table, after this time.
///
/// # Panics
/// When there is no such table.
pub async fn caught_up(task: &Task, took: Duration) -> Report {
    let view = view(task).await;
    Report::new(usize::try_from(view.events).unwrap_or(0), took).view(view)
}

/// Waits for a projection that does not say when it is done: until the table has all events, or the time is
/// over.
///
/// # Panics When there is no such table.
pub async fn until_caught_up(task: &Task, begun: Instant) -> Duration {
    const PAUSE: Duration = Duration::from_millis(20);
    let client = connect(&task.database).await;
    loop {
        let row = client.query_one(&format!("{SUMS}account"), &[]).await.expect("the table exists");
        let events: i64 = row.get(1);
        let took = begun.elapsed();
        if events >= task.workload.events as i64 || took > task.time {
            return took;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
