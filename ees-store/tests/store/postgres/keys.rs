use std::time::Duration;

use ees_store::postgres::{Options, Store, add_checksums, check_keys};
use ees_store::{ChangesetLog, Checkpoint, Error, EventStore, LogEntry, LogQuery};
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

#[tokio::test]
async fn keys_are_proven_and_old_changesets_get_their_checksums() {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    for number in 0..4 {
        store.commit(keyed("a", number, number)).await.unwrap();
    }
    let check = check_keys(database.url(), WEEK).await.unwrap();
    assert_eq!((check.keys, check.expired, check.faults), (4, 0, 0), "{check:?}");

    let mut administrator = administrator(database.url()).await;
    let meddle = "
        ALTER TABLE ees_store.idempotency_keys DROP CONSTRAINT idempotency_keys_key_digest_key;
        UPDATE ees_store.idempotency_keys SET stored_at = stored_at - 691200000000 WHERE checkpoint = 0;
        UPDATE ees_store.idempotency_keys SET key_digest = (
            SELECT key_digest FROM ees_store.idempotency_keys WHERE checkpoint = 1) WHERE checkpoint = 2;
        UPDATE ees_store.idempotency_keys SET checkpoint = 99 WHERE checkpoint = 3;
        UPDATE ees_store.changesets SET checksum = NULL WHERE checkpoint < 3;
        UPDATE ees_store.changesets SET events = '[NaN]' WHERE checkpoint = 2";
    run(&mut administrator, meddle).await;
    let check = check_keys(database.url(), WEEK).await.unwrap();
    assert_eq!((check.keys, check.expired, check.faults), (4, 1, 2), "{check:?}");
    assert!(check.described[0].contains("checkpoint 99, where none is"), "{check:?}");
    assert!(check.described[1].contains("is there 2 times"), "{check:?}");

    assert_eq!(add_checksums(database.url()).await.unwrap(), 2, "what can't be read gets none");
    let page = store.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    let read = |entry: &LogEntry| entry.events.quarantined().is_none();
    assert_eq!(page.changesets.iter().map(read).collect::<Vec<_>>(), [true, true, false, true]);
    run(
        &mut administrator,
        "UPDATE ees_store.changesets SET events = '[{\"number\":7}]' WHERE checkpoint = 1",
    )
    .await;
    let page = store.read(LogQuery::from(Checkpoint::START, 2)).await.unwrap();
    assert!(!read(&page.changesets[1]), "it is noticed from now on");
    assert_eq!(add_checksums(database.url()).await.unwrap(), 0);
}
