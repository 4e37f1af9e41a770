use std::time::Duration;

use ees_store::postgres::{Options, Store};
use ees_store::{Error, EventStore};
use ees_test_postgres::TestDatabase;
use sqlx::PgConnection;

use super::{administrator, keyed, run, until};

async fn kept(connection: &mut PgConnection) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM ees_store.idempotency_keys");
    count.fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn old_keys_are_forgotten_and_young_ones_stay() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    for number in 0..3 {
        store.commit(keyed("a", number, number)).await.unwrap();
    }
    let mut administrator = administrator(database.url()).await;
    // More than what is removed at once, and the first two of the stream, eight days ago.
    let age =
        "UPDATE ees_store.idempotency_keys SET stored_at = stored_at - 691200000000 WHERE checkpoint < 2;
        INSERT INTO ees_store.idempotency_keys
            SELECT -n, sha256(n::text::bytea), 0 FROM generate_series(1, 2500) n";
    run(&mut administrator, age).await;

    let _sweeping = Store::connect(database.url()).await.unwrap();
    until("one is left", async || kept(&mut administrator).await == 1).await;
    assert_eq!(store.commit(keyed("a", 2, 2)).await.unwrap().changeset_id.get(), 3, "a repeat");
    let forgotten = store.commit(keyed("a", 1, 1)).await;
    assert!(matches!(forgotten, Err(Error::Refused(_))), "{forgotten:?}");
}

#[tokio::test]
async fn they_are_kept_for_as_long_as_it_was_set() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    store.commit(keyed("a", 0, 0)).await.unwrap();
    let mut administrator = administrator(database.url()).await;
    let options = Options { keep_keys: Duration::ZERO, ..Options::default() };
    let _sweeping = Store::connect_with(database.url(), options).await.unwrap();
    until("none is left", async || kept(&mut administrator).await == 0).await;
}

#[tokio::test]
async fn keys_from_the_future_keep_no_old_key_from_being_forgotten() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    for number in 0..2 {
        store.commit(keyed("a", number, number)).await.unwrap();
    }
    let mut administrator = administrator(database.url()).await;
    // In front, from a clock that is a year ahead; behind them one that is older than a week.
    let meddle = "INSERT INTO ees_store.idempotency_keys
            SELECT -n, sha256(n::text::bytea), (extract(epoch FROM now()) * 1000000)::bigint + 31536000000000
            FROM generate_series(1, 2500) n;
        UPDATE ees_store.idempotency_keys SET stored_at = stored_at - 691200000000 WHERE checkpoint = 0";
    run(&mut administrator, meddle).await;
    let _sweeping = Store::connect(database.url()).await.unwrap();
    until("the old one is gone", async || kept(&mut administrator).await == 2_501).await;
    assert_eq!(store.commit(keyed("a", 1, 1)).await.unwrap().changeset_id.get(), 2, "a repeat");
}
