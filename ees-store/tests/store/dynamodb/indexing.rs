//! How changesets get their place in the global order.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use ees_store::EventStore;
use ees_store::dynamodb::{Indexer, Store, TableFormat};
use ees_test_aws::Faults;

use super::formats::account_with;
use super::support::{
    TABLE, account, append, candidate, client, commit, committing, get, indexer, is_gapless_and_ordered,
    labels, n, read, read_all, s, store,
};

/// A quarter of a megabyte each, to streams of their own.
async fn commit_large(writer: &Store, count: usize) {
    let large = format!("[\"{}\"]", "x".repeat(250_000));
    for number in 0..count {
        writer.commit(commit(&format!("s{number}"), 0, &large)).await.unwrap();
    }
}

/// What comes before in the stream goes first, however far back, whether or not anybody asked for it.
#[tokio::test]
async fn predecessors_go_first_however_many_were_missed() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..130 {
        append(&writer, "a", last).await;
    }
    append(&writer, "b", 0).await;
    let indexer = indexer(&account, &Faults::none()).await;
    assert_eq!(indexer.index(vec![candidate("a", 130), candidate("b", 1)]).await.unwrap(), 131);
    is_gapless_and_ordered(&read(&writer).await);
}

/// Records come twice, late and out of order.
#[tokio::test]
async fn repeated_and_reordered_records_do_no_harm() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..5 {
        append(&writer, "a", last).await;
        append(&writer, "b", last).await;
    }
    let indexer = indexer(&account, &Faults::none()).await;
    let shuffled = [("a", 3), ("b", 2), ("a", 3), ("b", 1), ("a", 1)].map(|(name, id)| candidate(name, id));
    assert_eq!(indexer.index(shuffled.to_vec()).await.unwrap(), 5);
    let known = labels(&read(&writer).await);
    assert_eq!(indexer.index(shuffled.to_vec()).await.unwrap(), 0, "all of them have their places");
    assert_eq!(labels(&read(&writer).await), known);
    let rest = [("b", 5), ("a", 2), ("a", 5), ("nobody", 1)].map(|(name, id)| candidate(name, id));
    assert_eq!(indexer.index(rest.to_vec()).await.unwrap(), 5);
    is_gapless_and_ordered(&read_all(&writer, 10).await);
}

/// Large changesets are indexed too, by as many transactions as it takes.
#[tokio::test]
async fn batches_keep_to_the_bytes_of_a_transaction() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let large = format!("[\"{}\"]", "x".repeat(390_000));
    for number in 0..25 {
        writer.commit(commit(&format!("s{number}"), 0, &large)).await.unwrap();
    }
    let candidates = (0..25).map(|number| ees_store::dynamodb::Candidate {
        size_bytes: 390_000,
        ..candidate(&format!("s{number}"), 1)
    });
    let faults = Faults::none();
    let indexer = indexer(&account, &faults).await;
    faults.calls().take();
    assert_eq!(indexer.index(candidates.collect()).await.unwrap(), 25);
    assert_eq!(faults.calls().of("TransactWriteItems"), 4, "8 fit");
    is_gapless_and_ordered(&read(&writer).await);
}

/// One batch of large changesets says nothing about those of tomorrow.
#[tokio::test]
async fn after_a_batch_that_was_too_large_batches_grow_again() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..399 {
        append(&writer, "a", last).await;
    }
    let candidates = |ids: std::ops::RangeInclusive<u64>| ids.map(|id| candidate("a", id)).collect();
    let faults = Faults::none();
    let indexer = indexer(&account, &faults).await;
    faults.refuse_above(51);
    assert_eq!(indexer.index(candidates(1..=99)).await.unwrap(), 99);
    faults.refuse_above(usize::MAX);
    faults.calls().take();
    assert_eq!(indexer.index(candidates(100..=399)).await.unwrap(), 300);
    assert_eq!(faults.calls().of("TransactWriteItems"), 4, "63, 71, 80, 86");
    is_gapless_and_ordered(&read(&writer).await);
}

/// A process that dies before indexing leaves work that a sweep finds, bit by bit, and says what it cost.
#[tokio::test]
async fn a_sweep_finds_what_was_missed_and_goes_on_where_it_stopped() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    // Two megabytes and a half: more than one call's worth.
    commit_large(&writer, 10).await;
    let (mut indexed, mut sweeps) = (0, 0);
    loop {
        // Another process each time, with no time for more than one call.
        let swept = indexer(&account, &Faults::none()).await.sweep(Instant::now()).await.unwrap();
        assert_eq!(swept.calls, 1);
        assert!(swept.read_units > 0.0);
        indexed += swept.indexed;
        sweeps += 1;
        if swept.is_done {
            break;
        }
    }
    assert_eq!(indexed, 10);
    assert!(sweeps > 1, "one call does not get through the table");
    is_gapless_and_ordered(&read(&writer).await);
    let again = indexer(&account, &Faults::none()).await;
    let later = again.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert_eq!((later.indexed, later.is_done), (0, true));
}

/// An operator wants to know that nothing is left, wherever a schedule's sweep has stopped.
#[tokio::test]
async fn a_whole_sweep_begins_at_the_start_wherever_another_one_stopped() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    // More than one call's worth.
    commit_large(&writer, 10).await;
    let cut_off = indexer(&account, &Faults::none()).await.sweep(Instant::now()).await.unwrap();
    assert!(!cut_off.is_done);
    // These may lie before the place where it stopped.
    for number in 0..10 {
        append(&writer, &format!("later-{number}"), 0).await;
    }
    let whole = indexer(&account, &Faults::none()).await.sweep_all().await.unwrap();
    assert!(whole.is_done && whole.items >= 20, "{whole:?}");
    assert_eq!(cut_off.indexed + whole.indexed, 20);
    is_gapless_and_ordered(&read_all(&writer, 20).await);
}

/// A function may be called every few minutes, and the table is read once a day.
#[tokio::test]
async fn a_sweep_that_is_due_goes_on_to_the_end_and_then_rests() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    // More than one call's worth.
    commit_large(&writer, 10).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let faults = Faults::none();
    let (mut indexed, mut sweeps) = (0, 0);
    while let Some(swept) = indexer(&account, &faults).await.sweep_if_due(day, Instant::now()).await.unwrap()
    {
        indexed += swept.indexed;
        sweeps += 1;
    }
    assert_eq!(indexed, 10);
    assert!(sweeps > 1, "one call does not get through the table");
    assert_eq!(faults.calls().of("Scan"), sweeps, "what is not due reads nothing");
    // The command asks nobody; and when it is cut short, the last end stays known.
    let again = indexer(&account, &Faults::none()).await;
    assert!(!again.sweep(Instant::now()).await.unwrap().is_done);
    assert!(again.sweep_if_due(day, Instant::now()).await.unwrap().is_none());
    let rest = again.sweep_if_due(Duration::ZERO, Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert!(rest.is_some_and(|rest| rest.is_done && rest.items < 15), "it goes on where the command stopped");
}

/// A table that is busy may be in the way of each call; none begins at the start for it.
#[tokio::test]
async fn a_sweep_that_fails_is_gone_on_with_where_it_was() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    // Five calls' worth.
    commit_large(&writer, 20).await;
    let faults = Faults::none();
    let attempt = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build();
    let config = account.sdk_config_with(&faults).into_builder().timeout_config(attempt).build();
    let failing = Indexer::open(&config, TABLE).await.unwrap();
    let failing = tokio::spawn(async move { failing.sweep(Instant::now() + Duration::from_secs(60)).await });
    while faults.calls().of("Scan") < 2 {
        tokio::task::yield_now().await;
    }
    faults.silence("Scan");
    assert!(failing.await.unwrap().unwrap_err().is_transient());
    let rest = indexer(&account, &Faults::none()).await;
    let rest = rest.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert!(rest.is_done && rest.items < 20, "{rest:?}");
    is_gapless_and_ordered(&read_all(&writer, 20).await);
}

/// A store that indexes for itself also finds what was left by one that died, at its start.
#[tokio::test]
async fn a_store_indexes_what_another_left_behind() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..5 {
        append(&writer, "a", last).await;
    }
    is_gapless_and_ordered(&read_all(&store(&account, &Faults::none()).await, 5).await);
}

/// Other systems that share the table, and earlier versions, find the counter as they know it, under either name.
#[tokio::test]
async fn the_counter_says_what_other_systems_read() {
    let account = account_with(TableFormat::V2, TABLE).await;
    let client = client(&account);
    let writer = committing(&account, &Faults::none()).await;
    let counter = "!!!RESERVED:GLOBAL-COUNTER!!!";
    let at_first = get(&client, TABLE, counter, 0).await.unwrap();
    assert_eq!((&at_first["page"], &at_first["page_item"]), (&n(0), &n(-1)));
    append(&writer, "a", 0).await;
    append(&writer, "a", 1).await;
    indexer(&account, &Faults::none()).await.index(vec![candidate("a", 2)]).await.unwrap();
    let found = get(&client, TABLE, counter, 0).await.unwrap();
    assert_eq!((&found["page"], &found["page_item"]), (&n(0), &n(1)));
    assert_eq!(found["prev_stream_id"], s("a"));
    assert_eq!((&found["prev_changeset_id"], &found["prev_stream_changeset_id"]), (&n(2), &n(2)));
}

/// A typed stream has a head, which is no changeset and in none of the local indexes.
#[tokio::test]
async fn a_typed_stream_has_a_head_beside_its_changesets() {
    let account = account().await;
    let store = store(&account, &Faults::none()).await;
    for last in 0..3 {
        let typed = commit("a", last, "[1,2]").with_stream_type("account".parse().unwrap());
        store.commit(typed).await.unwrap();
    }
    let log = read_all(&store, 3).await;
    let head = get(&client(&account), TABLE, "a", 0).await.unwrap();
    assert_eq!(head["stream_type"], s("account"));
    assert_eq!(head["updated_at"], s(&log[2].timestamp.to_string()));
    assert_eq!((&head["head_changeset_id"], &head["head_event_id"]), (&n(3), &n(6)));
    assert!(!head.contains_key("last_event_id") && !head.contains_key("first_event_id"));
    let stream = ees_store::StreamQuery::events("a".parse().unwrap(), 1.into(), None);
    assert_eq!(store.read_stream(stream).await.unwrap().changesets.len(), 3);
}

/// The order goes on over pages of the index.
#[tokio::test]
async fn a_first_page_of_a_thousand_is_followed_by_the_next() {
    let account = account().await;
    let client = client(&account);
    let writer = committing(&account, &Faults::none()).await;
    // As if 998 had been indexed: the table need not hold them for this.
    let update = client.update_item().table_name(TABLE);
    let update = update.key("stream_id", s("!!!RESERVED:GLOBAL-COUNTER!!!")).key("changeset_id", n(0));
    let update =
        update.update_expression("SET last_page_item = :i").expression_attribute_values(":i", n(997));
    update.send().await.unwrap();
    for last in 0..5 {
        append(&writer, "a", last).await;
    }
    indexer(&account, &Faults::none()).await.index(vec![candidate("a", 5)]).await.unwrap();
    let last = get(&client, TABLE, "a", 5).await.unwrap();
    assert_eq!((&last["page"], &last["page_item"]), (&n(1), &n(2)));
    let query = ees_store::LogQuery::from(ees_store::Checkpoint::new(998), 10);
    let page = ees_store::ChangesetLog::read(&writer, query).await.unwrap();
    assert_eq!(labels(&page.changesets), ["998 a1", "999 a2", "1000 a3", "1001 a4", "1002 a5"]);
}
