//! A log goes on in a table of the newest format, with its order, its keys and its id.

use std::time::Duration;

use ees_store::dynamodb::{
    Indexer, OnMisplaced, Store, TableFormat, adopt, cancel_migration, check_keys, migrate,
};
use ees_store::{ChangesetLog, Commit, Error, EventStore, Refusal, StreamType, TypeQuery};
use ees_test_aws::{Account, Faults};

use super::formats::{self, account_with};
use super::support::{
    TABLE, append, candidate, client, commit, committing, get, labels, n, read_all, s, store,
};

const OLD: &str = "before";

fn keyed(stream: &str, last: u64, events: &str) -> Commit {
    commit(stream, last, events).with_idempotency_key("key".parse().unwrap())
}

fn of_type(stream: &str, last: u64) -> Commit {
    commit(stream, last, "[3]").with_stream_type("type".parse().unwrap())
}

fn why(error: Error) -> String {
    let Error::InvalidRequest(why) = error else { panic!("{error:?}") };
    why
}

/// Does this before the caller goes on.
fn now(work: impl Future<Output = ()>) {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
}

/// An account with a log in a table of this format, and an empty one of the newest.
async fn with_log(format: TableFormat) -> Account {
    let account = account_with(format, OLD).await;
    formats::create(&account, TableFormat::V3, TABLE).await;
    if format == TableFormat::V1 {
        adopt(&account.sdk_config(), OLD, OnMisplaced::Refuse, |_| ()).await.unwrap();
    }
    let old = Store::open(&account.sdk_config(), OLD).await.unwrap();
    old.commit(keyed("a", 0, "[1]")).await.unwrap();
    old.commit(commit("a", 1, "[2]")).await.unwrap();
    old.commit(if format == TableFormat::V1 { commit("t", 0, "[3]") } else { of_type("t", 0) })
        .await
        .unwrap();
    read_all(&old, 3).await;
    account
}

#[tokio::test]
async fn a_log_goes_on_in_a_table_of_the_newest_format_with_its_keys_and_its_order() {
    for format in [TableFormat::V1, TableFormat::V2, TableFormat::V3] {
        let account = with_log(format).await;
        let config = account.sdk_config();
        let old = Store::open(&config, OLD).await.unwrap();
        let (was, log_id) = (read_all(&old, 3).await, old.head().await.unwrap().log_id);
        drop(old);
        let mut told = 0;
        let migrated = migrate(&config, OLD, TABLE, |changesets| told = changesets).await.unwrap();
        assert_eq!((migrated.changesets, told, migrated.is_known), (3, 3, false), "{format}");

        let store = store(&account, &Faults::none()).await;
        assert_eq!(read_all(&store, 3).await, was, "{format}");
        assert_eq!(store.head().await.unwrap().log_id, log_id, "{format}");
        assert_eq!(store.commit(keyed("a", 2, "[1]")).await.unwrap().changeset_id.get(), 1, "{format}");
        let reused = store.commit(keyed("a", 2, "[9]")).await.unwrap_err();
        assert!(matches!(reused, Error::Refused(Refusal::KeyReused)), "{format}: {reused:?}");
        let other = || commit("a", 2, "[4]").with_idempotency_key("other".parse().unwrap());
        assert_eq!(store.commit(other()).await.unwrap().changeset_id.get(), 3, "{format}");
        assert_eq!(store.commit(other()).await.unwrap().changeset_id.get(), 3, "{format}");
        assert_eq!(labels(&read_all(&store, 4).await)[3], "3 a3", "{format}");
        let counter = get(&client(&account), TABLE, "!!!RESERVED:GLOBAL-COUNTER!!!", 0).await.unwrap();
        assert_eq!((counter.get("page"), counter.get("last_page_item")), (None, Some(&n(3))), "{format}");
        assert_eq!(check_keys(&config, TABLE).await.unwrap().faults, 0, "{format}");
        if format != TableFormat::V1 {
            let listed = store.read_type(TypeQuery::all("type".parse::<StreamType>().unwrap())).await;
            assert_eq!(listed.unwrap().streams.len(), 1, "{format}");
        }

        // Once more, nothing is to be done. The old table is no log.
        let again = migrate(&config, OLD, TABLE, |_| ()).await.unwrap();
        assert_eq!((again.is_known, again.written), (true, 0), "{format}");
        assert!(
            why(Store::open(&config, OLD).await.map(drop).unwrap_err())
                .contains("was moved to the table \"log\"")
        );
        assert!(why(cancel_migration(&config, OLD, TABLE).await.unwrap_err()).contains("can't be cancelled"));
    }
}

/// From the first moment on, the old table gives out no place, and says why.
#[tokio::test]
async fn what_runs_on_the_old_table_gives_out_no_place_and_says_that_the_log_was_moved() {
    let account = with_log(TableFormat::V2).await;
    let config = account.sdk_config();
    let running = Store::open(&config, OLD).await.unwrap();
    let indexer = Indexer::open(&config, OLD).await.unwrap();
    migrate(&config, OLD, TABLE, |_| ()).await.unwrap();
    running.commit(commit("late", 0, "[1]")).await.ok();
    assert!(why(indexer.index(vec![candidate("late", 1)]).await.unwrap_err()).contains("was moved"));
    assert!(why(running.head().await.unwrap_err()).contains("was moved"));
    let unchanged = get(&client(&account), OLD, "late", 1).await.unwrap();
    assert_eq!(unchanged.get("page"), None);
}

/// What is stored in the old table while it is copied comes along, and gets its place in the new one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_while_the_log_is_moved_is_not_lost() {
    let account = with_log(TableFormat::V2).await;
    let config = account.sdk_config();
    let running = Store::open(&config, OLD).await.unwrap();
    let mut late = 0;
    let migrated = migrate(&config, OLD, TABLE, |_| {
        if late == 0 {
            late = 1;
            let commits = async {
                running.commit(commit("a", 2, "[1]")).await.unwrap();
                running.commit(of_type("t", 1)).await.unwrap();
            };
            now(commits);
        }
    });
    assert_eq!(migrated.await.unwrap().changesets, 5);
    drop(running);
    let store = store(&account, &Faults::none()).await;
    let indexer = Indexer::open(&config, TABLE).await.unwrap();
    indexer.sweep(std::time::Instant::now() + Duration::from_secs(60)).await.unwrap();
    read_all(&store, 5).await;
    let head = get(&client(&account), TABLE, "t", 0).await.unwrap();
    assert_eq!(head["head_changeset_id"], n(2), "the head of a stream does not stay behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_on_meanwhile_all_the_time_is_not_moved_and_can_be_had_back() {
    let account = with_log(TableFormat::V2).await;
    let config = account.sdk_config();
    let running = committing_on(&account, OLD).await;
    let mut last = 2;
    let refused = migrate(&config, OLD, TABLE, |_| {
        last += 1;
        now(append(&running, "a", last - 1));
    });
    assert!(why(refused.await.unwrap_err()).contains("still commits"));
    for table in [OLD, TABLE] {
        let opened = why(Store::open(&config, table).await.map(drop).unwrap_err());
        assert!(opened.contains("ees dynamodb migrate"), "{opened}");
    }
    let adopted = adopt(&config, TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap_err();
    assert!(why(adopted).contains("is not complete"));

    cancel_migration(&config, OLD, TABLE).await.unwrap();
    let old = Store::open(&config, OLD).await.unwrap();
    assert_eq!(labels(&read_all(&old, 6).await)[..3], ["0 a1", "1 a2", "2 t1"]);
    assert!(why(migrate(&config, OLD, TABLE, |_| ()).await.unwrap_err()).contains("is not empty"));
}

async fn committing_on(account: &Account, table: &str) -> Store {
    let options = ees_store::dynamodb::Options {
        indexing: ees_store::dynamodb::Indexing::Elsewhere,
        ..Default::default()
    };
    Store::open_with(&account.sdk_config(), table, options).await.unwrap()
}

/// DynamoDB removes items of keys at any time. That is no commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_expires_while_the_log_is_moved_does_not_hold_it_up() {
    let account = with_log(TableFormat::V2).await;
    let config = account.sdk_config();
    let client = client(&account);
    let found = client.scan().table_name(OLD).send().await.unwrap().items.unwrap();
    let key =
        found.into_iter().find(|item| item["stream_id"].as_s().unwrap().contains("RESERVED:KEY")).unwrap();
    let key = ["stream_id", "changeset_id"].map(|name| (name.to_owned(), key[name].clone()));
    let migrated = migrate(&config, OLD, TABLE, |_| {
        now(async {
            let delete = client.delete_item().table_name(OLD).set_key(Some(key.clone().into()));
            delete.send().await.unwrap();
        });
    });
    assert_eq!(migrated.await.unwrap().changesets, 3);
}

/// A transaction that has moved the counter may write its places a moment later. The changeset that was copied before
/// gets its place in the copy too.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_written_late_comes_along() {
    let account = with_log(TableFormat::V2).await;
    let config = account.sdk_config();
    let client = client(&account);
    let place = |page_item: Option<i64>| {
        let update = client.update_item().table_name(OLD);
        let update = update.key("stream_id", s("a")).key("changeset_id", n(2));
        match page_item {
            None => update.update_expression("REMOVE page, page_item"),
            Some(it) => update
                .update_expression("SET page = :p, page_item = :i")
                .expression_attribute_values(":p", n(0))
                .expression_attribute_values(":i", n(it)),
        }
    };
    let was = read_all(&Store::open(&config, OLD).await.unwrap(), 3).await;
    place(None).send().await.unwrap();
    migrate(&config, OLD, TABLE, |_| now(async { drop(place(Some(1)).send().await.unwrap()) }))
        .await
        .unwrap();
    assert_eq!(read_all(&store(&account, &Faults::none()).await, 3).await, was);
}

/// The table takes several answers to read: a process that takes over goes on where the one before was.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_goes_on_in_the_middle_of_the_table() {
    let account = with_log(TableFormat::V2).await;
    let config = account.sdk_config();
    let old = Store::open(&config, OLD).await.unwrap();
    let large = format!("[\"{}\"]", "x".repeat(380_000));
    for stream in ["l1", "l2", "l3", "l4", "l5", "l6"] {
        old.commit(commit(stream, 0, &large)).await.unwrap();
    }
    let was = read_all(&old, 9).await;
    drop(old);
    let (interrupted, mut parts) = (config.clone(), 0);
    let moving = tokio::spawn(async move {
        let told = |_| {
            parts += 1;
            assert!(parts < 2, "as one that is killed");
        };
        migrate(&interrupted, OLD, TABLE, told).await
    });
    assert!(moving.await.unwrap_err().is_panic());
    let (mut first, mut migrated) = (None, 0);
    let told = |changesets| {
        first.get_or_insert(changesets);
        migrated = changesets;
    };
    let done = migrate(&config, OLD, TABLE, told).await.unwrap();
    assert!(first > Some(2) && migrated == 9, "{first:?}, {migrated}");
    assert!(done.written < 9, "{done:?}");
    assert_eq!(read_all(&store(&account, &Faults::none()).await, 9).await, was);
}

/// Wherever a process is killed, and however many are at it: the log is whole in one of the tables.
#[tokio::test]
async fn moving_may_be_interrupted_anywhere_and_begun_twice() {
    for seed in 1..=4 {
        let account = with_log(TableFormat::V2).await;
        let was = read_all(&Store::open(&account.sdk_config(), OLD).await.unwrap(), 3).await;
        for calls in [6, 9, 12, 15, 18, 22, 30] {
            let faults =
                Faults::seeded(seed).lost(0.3).delayed(0.5, Duration::from_millis(3)).item_by_item(0.2);
            let config = account.sdk_config_with(&faults);
            let moving = tokio::spawn(async move { migrate(&config, OLD, TABLE, |_| ()).await });
            while faults.calls().total() < calls && !moving.is_finished() {
                tokio::task::yield_now().await;
            }
            moving.abort();
            let _ = moving.await;
            faults.cut_off().await;
        }
        let at_once = (0..3).map(|number| {
            let faults = Faults::everything(seed * 3 + number).item_by_item(0.2);
            let config = account.sdk_config_with(&faults);
            tokio::spawn(async move { migrate(&config, OLD, TABLE, |_| ()).await })
        });
        for moved in futures::future::join_all(at_once).await {
            // Of several, one comes to the end. The others are told so.
            if let Err(error) = moved.unwrap() {
                let why = why(error);
                assert!(
                    why.contains("another process") || why.contains("holds a log already"),
                    "{seed}: {why}"
                );
            }
        }
        migrate(&account.sdk_config(), OLD, TABLE, |_| ()).await.unwrap();
        let store = store(&account, &Faults::none()).await;
        assert_eq!(read_all(&store, 3).await, was, "{seed}");
        append(&store, "a", 2).await;
        assert_eq!(labels(&read_all(&store, 4).await)[3], "3 a3", "{seed}");
    }
}

/// However a migration and its end by hand meet, one of the two tables is the log, and not both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_migration_that_is_cancelled_while_it_runs_leaves_one_log() {
    for seed in 1..=8 {
        let account = with_log(TableFormat::V2).await;
        let log_id = Store::open(&account.sdk_config(), OLD).await.unwrap().head().await.unwrap().log_id;
        let faults = Faults::seeded(seed).delayed(0.7, Duration::from_millis(4));
        let (moving, config) = (account.sdk_config_with(&faults), account.sdk_config());
        let moving = tokio::spawn(async move { migrate(&moving, OLD, TABLE, |_| ()).await });
        while faults.calls().total() < 4 + 2 * usize::try_from(seed).unwrap() && !moving.is_finished() {
            tokio::task::yield_now().await;
        }
        let cancelled = cancel_migration(&config, OLD, TABLE).await;
        let moved = moving.await.unwrap();
        // What the one left half done, the other ends.
        if moved.is_err() {
            cancel_migration(&config, OLD, TABLE).await.ok();
        }
        // A new table that nothing was copied to yet is free for another log.
        let mut holds_it = [false; 2];
        for (holds_it, table) in holds_it.iter_mut().zip([OLD, TABLE]) {
            if let Ok(store) = Store::open(&config, table).await {
                *holds_it = store.head().await.unwrap().log_id == log_id;
            }
        }
        assert_eq!(holds_it, [moved.is_err(), moved.is_ok()], "{seed}: {moved:?}, {cancelled:?}");
    }
}

#[tokio::test]
async fn a_log_is_moved_into_an_empty_table_of_the_newest_format_only() {
    let account = with_log(TableFormat::V2).await;
    let config = account.sdk_config();
    formats::create(&account, TableFormat::V2, "earlier").await;
    formats::create(&account, TableFormat::V3, "other").await;
    committing(&account, &Faults::none()).await;
    for (from, to, said) in [
        (OLD, "earlier", "is of format 2"),
        (OLD, TABLE, "holds a log already"),
        ("other", "other", "two tables"),
        ("earlier", "other", "holds no log"),
    ] {
        let refused = why(migrate(&config, from, to, |_| ()).await.unwrap_err());
        assert!(refused.contains(said), "{from} {to}: {refused}");
    }
    assert!(why(cancel_migration(&config, OLD, "other").await.unwrap_err()).contains("no migration"));
    // None of that has changed anything.
    append(&committing_on(&account, OLD).await, "a", 2).await;
}
