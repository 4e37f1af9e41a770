//! Workers that are gone.

use ees_projector::Settings;
use ees_projector::postgres::Database;

use crate::support::{Balances, Bank, LONG};

async fn workers(database: &Database) -> Vec<String> {
    sqlx::query_scalar("SELECT id FROM ees.workers ORDER BY id").fetch_all(database.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_killed_is_forgotten_though_nobody_works_on_its_projection_any_more() {
    let bank = Bank::new().await;
    let database = bank.connect().await;
    let gone =
        "INSERT INTO ees.workers SELECT 'gone-' || n, 'retired', 1, clock_timestamp() - interval '1 hour'
            FROM generate_series(1, 3) n;
        INSERT INTO ees.workers VALUES ('there', 'another', 1, clock_timestamp())";
    sqlx::raw_sql(gone).execute(database.pool()).await.unwrap();
    bank.deposit("a", 1).await;
    let running = bank.start(Balances::default(), Settings::default()).await;
    bank.caught_up(&running).await;
    let forgotten = async {
        while workers(&database).await.iter().any(|id| id.starts_with("gone")) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, forgotten).await.unwrap();
    assert!(workers(&database).await.contains(&"there".to_owned()));
    running.shut_down().await;
}
