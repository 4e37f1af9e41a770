use ees_store::postgres::Store;
use ees_store::{ChangesetLog, Checkpoint, Error, EventStore, LogQuery};
use ees_test_postgres::{Server, TestDatabase};
use futures::future::join_all;

use super::{administrator, commit, keyed, numbers, run, until};

#[tokio::test]
async fn eight_that_open_an_empty_database_at_once_share_one_log() {
    let database = TestDatabase::new().await;
    let stores = join_all((0..8).map(|_| Store::connect(database.url()))).await;
    let stores: Vec<_> = stores.into_iter().map(Result::unwrap).collect();
    let heads = join_all(stores.iter().map(|store| store.head())).await;
    let first = heads[0].as_ref().unwrap().log_id;
    assert!(heads.iter().all(|head| head.as_ref().unwrap().log_id == first));
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_refused() {
    let database = TestDatabase::new().await;
    drop(Store::connect(database.url()).await.unwrap());
    let newer = "INSERT INTO ees_store.migrations (version, description, success, checksum, execution_time)
        SELECT 99, description, success, checksum, execution_time FROM ees_store.migrations WHERE version = 1";
    run(&mut administrator(database.url()).await, newer).await;
    let refused = Store::connect(database.url()).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::NewerVersion { .. }), "{refused:?}");
    assert!(refused.to_string().contains(database.name()), "{refused}");
}

/// Brings the log back to its second version.
const SECOND_VERSION: &str = "
    DO $$ DECLARE f regprocedure; BEGIN
        FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'ees_store'::regnamespace
            AND pg_get_function_arguments(oid) LIKE '%checksum%'
        LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP;
    END $$;
    ALTER TABLE ees_store.changesets DROP COLUMN checksum, DROP COLUMN trace_context;
    DELETE FROM ees_store.migrations WHERE version > 2";

#[tokio::test]
async fn a_log_whose_tables_are_in_use_is_brought_to_this_version_once_they_are_free() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    store.commit(commit("a", 0, 0)).await.unwrap();
    drop(store);
    let mut administrator = administrator(database.url()).await;
    run(&mut administrator, SECOND_VERSION).await;
    let mut reader = super::administrator(database.url()).await;
    let count = "SELECT count(*) FROM ees_store.changesets";
    run(&mut reader, format!("BEGIN; {count}")).await;

    let url = database.url().to_owned();
    let opening = tokio::spawn(async move { Store::connect(&url).await });
    let mut waits = async |is_waiting: bool| {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("it waits for the table, or not", async || {
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut administrator).await.unwrap();
            (waiting > 0) == is_waiting
        })
        .await;
    };
    // Twice, so that one try has failed; in between others are let through.
    waits(true).await;
    waits(false).await;
    waits(true).await;
    assert!(!opening.is_finished());
    run(&mut reader, "COMMIT").await;
    let store = opening.await.unwrap().unwrap();
    store.commit(commit("a", 1, 1)).await.unwrap();
    assert_eq!(numbers(&store, "a").await, [0, 1]);
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let server = Server::start().await;
    let mut administrator = administrator(&server.url("postgres")).await;
    run(&mut administrator, "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0").await;
    let refused = Store::connect(&server.url("ascii")).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("SQL_ASCII") && refused.to_string().contains("ascii"), "{refused}");
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let database = TestDatabase::new().await;
    let refused = Store::connect(&format!("{}_missing", database.url())).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("_missing"), "{refused}");
    assert!(!matches!(refused, Error::Unavailable(_)), "waiting does not help: {refused:?}");
}

/// The grants that the store's documentation names.
const GRANTS: &str = "
    CREATE ROLE clerk LOGIN;
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA ees_store TO clerk;
    GRANT SELECT ON ees_store.migrations TO clerk;
    GRANT SELECT, UPDATE ON ees_store.log TO clerk;
    GRANT SELECT, INSERT ON ees_store.changesets TO clerk;
    GRANT SELECT, INSERT, DELETE ON ees_store.typed_streams TO clerk;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ees_store.idempotency_keys TO clerk;";

#[tokio::test]
async fn a_role_that_may_not_create_anything_opens_a_log_that_is_there() {
    let server = Server::start().await;
    let url = server.url("postgres");
    let clerk = url.replace("postgres@", "clerk@");
    drop(Store::connect(&url).await.unwrap());
    let mut administrator = administrator(&url).await;
    run(&mut administrator, GRANTS).await;
    let store = Store::connect(&clerk).await.unwrap();
    let committed = store.commit(keyed("a", 0, 0)).await.unwrap();
    assert_eq!(store.commit(keyed("a", 0, 0)).await.unwrap(), committed);
    let page = store.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    assert_eq!((page.changesets.len(), page.head.checkpoint.get()), (1, 1));
    store.commit(keyed("a", 1, 1)).await.unwrap();
    for last in 0..2 {
        store.commit(commit("t", last, last).with_stream_type("account".parse().unwrap())).await.unwrap();
    }
    let log = server.log();
    assert!(!log.contains("permission denied"), "{log}");

    run(&mut administrator, "DROP SCHEMA ees_store CASCADE").await;
    let refused = Store::connect(&clerk).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}
