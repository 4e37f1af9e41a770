//! A log in a table of an earlier form goes on in a new one.

use ees_store::dynamodb::{Form, Store, check_keys, copy};
use ees_store::{ChangesetLog, Commit, Error, EventStore, Refusal};
use ees_test_aws::Faults;

use super::forms::{self, account_with};
use super::support::{TABLE, append, client, commit, committing, get, labels, n, read_all, store};

const EARLIER: &str = "before";

fn keyed(stream: &str, last: u64, events: &str) -> Commit {
    commit(stream, last, events).with_idempotency_key("key".parse().unwrap())
}

/// Keys are found where they were, and the counter leaves the index with the next changeset.
#[tokio::test]
async fn a_log_that_was_copied_from_an_earlier_table_goes_on_with_its_keys_and_its_order() {
    let account = account_with(Form::Earlier, EARLIER).await;
    forms::create(&account, Form::Current, TABLE).await;
    let config = account.sdk_config();
    let before = Store::open(&config, EARLIER).await.unwrap();
    before.commit(keyed("a", 0, "[1]")).await.unwrap();
    before.commit(commit("a", 1, "[2]")).await.unwrap();
    before.commit(keyed("t", 0, "[3]").with_stream_type("type".parse().unwrap())).await.unwrap();
    let was = labels(&read_all(&before, 3).await);
    let log_id = before.head().await.unwrap().log_id;
    drop(before);
    let client = client(&account);
    let mut told = 0;
    let copied = copy(&config, EARLIER, TABLE, |items| told = items).await.unwrap();
    // Three changesets, two keys, a head, the counter, and the log's own.
    assert_eq!((copied.items, told), (8, 7));
    let again = copy(&config, EARLIER, TABLE, |_| ()).await.unwrap_err();
    assert!(matches!(&again, Error::InvalidRequest(why) if why.contains("holds a log already")), "{again:?}");

    let faults = Faults::none();
    let store = store(&account, &faults).await;
    assert_eq!((labels(&read_all(&store, 3).await), store.head().await.unwrap().log_id), (was, log_id));
    assert_eq!(store.commit(keyed("a", 2, "[1]")).await.unwrap().changeset_id.get(), 1);
    assert_eq!(store.commit(keyed("a", 0, "[1]")).await.unwrap().changeset_id.get(), 1);
    let reused = store.commit(keyed("t", 1, "[1]")).await.unwrap_err();
    assert!(matches!(reused, Error::Refused(Refusal::KeyReused)), "{reused:?}");
    let other = || commit("a", 2, "[4]").with_idempotency_key("other".parse().unwrap());
    assert_eq!(store.commit(other()).await.unwrap().changeset_id.get(), 3);
    assert_eq!(store.commit(other()).await.unwrap().changeset_id.get(), 3);
    read_all(&store, 4).await;
    let counter = get(&client, TABLE, "!!!RESERVED:GLOBAL-COUNTER!!!", 0).await.unwrap();
    assert_eq!((counter.get("page"), counter.get("page_item")), (None, None));
    assert_eq!((&counter["last_page"], &counter["last_page_item"]), (&n(0), &n(3)));
    // Both kinds.
    let check = check_keys(&config, TABLE).await.unwrap();
    assert_eq!((check.keys, check.faults), (3, 0), "{check:?}");
}

/// Until all is copied nobody can open the copy, and it can be made again.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_log_that_goes_on_meanwhile_is_no_log() {
    let account = account_with(Form::Earlier, EARLIER).await;
    forms::create(&account, Form::Current, TABLE).await;
    let before = Store::open(&account.sdk_config(), EARLIER).await.unwrap();
    append(&before, "a", 0).await;
    read_all(&before, 1).await;
    // When all items are copied.
    let goes_on = |_| {
        let go_on = async {
            append(&before, "a", 1).await;
            read_all(&before, 2).await;
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(go_on));
    };
    let refused = copy(&account.sdk_config(), EARLIER, TABLE, goes_on).await.unwrap_err();
    assert!(
        matches!(&refused, Error::InvalidRequest(why) if why.contains("indexed meanwhile")),
        "{refused:?}"
    );
    let opened = Store::open(&account.sdk_config(), TABLE).await.map(drop);
    assert!(matches!(opened, Err(Error::InvalidRequest(_))), "{opened:?}");

    copy(&account.sdk_config(), EARLIER, TABLE, |_| ()).await.unwrap();
    let store = committing(&account, &Faults::none()).await;
    assert_eq!(labels(&read_all(&store, 2).await), ["0 a1", "1 a2"]);
}

/// A log finds its keys by an index that only tables of the current form have.
#[tokio::test]
async fn a_log_with_keys_in_its_changesets_is_not_copied_into_an_earlier_table() {
    let account = account_with(Form::Current, TABLE).await;
    forms::create(&account, Form::Earlier, EARLIER).await;
    committing(&account, &Faults::none()).await;
    let refused = copy(&account.sdk_config(), TABLE, EARLIER, |_| ()).await.unwrap_err();
    assert!(
        matches!(&refused, Error::InvalidRequest(why) if why.contains("lacks the local index")),
        "{refused:?}"
    );
    forms::create(&account, Form::Current, "other").await;
    let refused = copy(&account.sdk_config(), EARLIER, "other", |_| ()).await.unwrap_err();
    assert!(matches!(&refused, Error::InvalidRequest(why) if why.contains("holds no log")), "{refused:?}");
}
