//! What it costs, counted: calls carry over to AWS, seconds on an emulator do not.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use ees_store::dynamodb::{Store, TableFormat, cost};
use ees_store::{ChangesetLog, Checkpoint, EventStore, LogQuery};
use ees_test_aws::Faults;

use super::formats::account_with;
use super::support::{
    TABLE, account, append, candidate, client, commit, committing, get, indexer, n, read, s,
};

/// The calls since the last look, by their names.
fn calls(faults: &Faults) -> Vec<(String, usize)> {
    faults.calls().take().into_iter().collect()
}

fn told(calls: &[(&str, usize)]) -> Vec<(String, usize)> {
    calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// One call begins a stream, two append to it. A key is one read more, and a type makes the write a transaction.
#[tokio::test]
async fn a_commit_is_a_read_of_the_stream_one_of_its_key_and_one_write() {
    let account = account().await;
    let faults = Faults::none();
    let store = committing(&account, &faults).await;
    faults.calls().take();
    let keyed = |stream, last| commit(stream, last, "[1]").with_idempotency_key("k".parse().unwrap());

    append(&store, "a", 0).await;
    assert_eq!(calls(&faults), told(&[("PutItem", 1)]));
    append(&store, "a", 1).await;
    assert_eq!(calls(&faults), told(&[("PutItem", 1), ("Query", 1)]));
    store.commit(keyed("a", 2)).await.unwrap();
    assert_eq!(calls(&faults), told(&[("PutItem", 1), ("Query", 2)]));
    store.commit(keyed("a", 2)).await.unwrap();
    assert_eq!(calls(&faults), told(&[("GetItem", 1), ("Query", 2)]), "a repeat");
    store.commit(keyed("b", 0)).await.unwrap();
    assert_eq!(calls(&faults), told(&[("PutItem", 1)]), "a stream that begins has no keys");
    store.commit(keyed("b", 0)).await.unwrap();
    assert_eq!(calls(&faults), told(&[("PutItem", 1)]), "a repeat finds itself");
    store.commit(keyed("t", 0).with_stream_type("type".parse().unwrap())).await.unwrap();
    assert_eq!(calls(&faults), told(&[("TransactWriteItems", 1)]));
    store.commit(keyed("t", 0).with_stream_type("type".parse().unwrap())).await.unwrap();
    assert_eq!(calls(&faults), told(&[("TransactWriteItems", 1)]), "a repeat");
    store.commit(commit("a", 1, "[1]")).await.unwrap_err();
    assert_eq!(calls(&faults), told(&[("Query", 1)]), "a refusal writes nothing");
    let other = |stream, last| commit(stream, last, "[1]").with_idempotency_key("other".parse().unwrap());
    store.commit(other("a", 1)).await.unwrap_err();
    assert_eq!(calls(&faults), told(&[("Query", 2)]), "nor does one of a key that is not known");
    store.commit_in_order((0..20).map(|last| commit("c", last, "[1]")).collect()).await;
    assert_eq!(calls(&faults), told(&[("PutItem", 20)]), "who commits in order knows the end of the stream");
}

/// In a table of before, a key or a type make the write a transaction, and add no call.
#[tokio::test]
async fn in_an_earlier_table_a_commit_is_one_read_at_most_and_one_write() {
    let account = account_with(TableFormat::V2, TABLE).await;
    let faults = Faults::none();
    let store = committing(&account, &faults).await;
    faults.calls().take();

    append(&store, "a", 0).await;
    assert_eq!(calls(&faults), told(&[("PutItem", 1)]));
    append(&store, "a", 1).await;
    assert_eq!(calls(&faults), told(&[("PutItem", 1), ("Query", 1)]));
    store.commit(commit("a", 2, "[1]").with_idempotency_key("k".parse().unwrap())).await.unwrap();
    assert_eq!(calls(&faults), told(&[("Query", 1), ("TransactWriteItems", 1)]));
    let typed = || commit("t", 0, "[1]").with_stream_type("type".parse().unwrap());
    store.commit(typed().with_idempotency_key("k".parse().unwrap())).await.unwrap();
    assert_eq!(calls(&faults), told(&[("TransactWriteItems", 1)]));
    store.commit(typed().with_idempotency_key("k".parse().unwrap())).await.unwrap();
    assert_eq!(calls(&faults), told(&[("TransactWriteItems", 1)]), "a repeat");
    store.commit(commit("a", 1, "[1]")).await.unwrap_err();
    assert_eq!(calls(&faults), told(&[("Query", 1)]), "a refusal writes nothing");
    store.commit_in_order((0..20).map(|last| commit("b", last, "[1]")).collect()).await;
    assert_eq!(calls(&faults), told(&[("PutItem", 20)]), "who commits in order knows the end of the stream");
}

/// At most 0.1 calls a changeset to index in batches of 100, 0.02 to read in large pages, and 0.06 in pages of 100,
/// each of which is in five stripes at most.
#[tokio::test]
async fn indexing_and_reading_take_few_calls() {
    const COUNT: u64 = 900;
    let account = account().await;
    let faults = Faults::none();
    let store = committing(&account, &faults).await;
    // Four rounds: streams that begin, and streams that go on.
    let streams = COUNT / 4;
    for round in 0..4 {
        let commits = (0..streams).map(|stream| commit(&format!("s{stream}"), round, "[1]")).collect();
        for verdict in store.commit_in_order(commits).await {
            verdict.unwrap();
        }
    }
    let indexing = Faults::none();
    let mut calls = 0;
    for batch in (0..COUNT).collect::<Vec<_>>().chunks(100) {
        // A function that was started anew: it remembers nothing of the last batch.
        let indexer = indexer(&account, &indexing).await;
        indexing.calls().take();
        let candidates = batch.iter().map(|at| candidate(&format!("s{}", at % streams), at / streams + 1));
        assert_eq!(indexer.index(candidates.collect()).await.unwrap(), batch.len());
        calls += indexing.calls().total();
    }
    assert!(calls * 10 <= COUNT as usize, "{calls} calls for {COUNT} changesets");

    faults.calls().take();
    let page = store.read(LogQuery::from(Checkpoint::START, 1_000)).await.unwrap();
    assert_eq!(page.changesets.len() as u64, COUNT);
    assert!(faults.calls().total() * 50 <= COUNT as usize, "{:?}", faults.calls().take());
    faults.calls().take();
    let mut from = Checkpoint::START;
    while from < page.next {
        from = store.read(LogQuery::from(from, 100)).await.unwrap().next;
    }
    assert!(faults.calls().total() * 100 <= COUNT as usize * 6, "{:?}", faults.calls().take());
}

/// Who follows asks the stripes that hold what has come: nothing, or one, or two for up to 26 places. While an entry is
/// late, it is asked for alone.
#[tokio::test]
async fn following_asks_few_stripes() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let indexer = indexer(&account, &Faults::none()).await;
    let faults = Faults::none();
    let reader = committing(&account, &faults).await;
    let queries = async |from: u64| {
        faults.calls().take();
        let page = reader.read(LogQuery::from(Checkpoint::new(from), 1_000)).await.unwrap();
        (page.changesets.len(), faults.calls().of("Query"))
    };
    assert_eq!(queries(0).await, (0, 0));
    let mut placed = 0;
    for (count, asked) in [(1, 1), (24, 1), (1, 1), (10, 1), (26, 2), (180, 8)] {
        let from = placed;
        for _ in 0..count {
            append(&writer, &format!("s{placed}"), 0).await;
            placed += 1;
        }
        let candidates = (from..placed).map(|stream| candidate(&format!("s{stream}"), 1)).collect();
        indexer.index(candidates).await.unwrap();
        assert_eq!(queries(from).await, (count, asked), "{count} from {from}");
        assert_eq!(queries(placed).await, (0, 0));
    }
    // All of it, and the place after it is hidden: one query each time.
    let faults = Faults::seeded(1).late(1.0, Duration::from_secs(3_600));
    let reader = committing(&account, &faults).await;
    faults.calls().take();
    assert_eq!(reader.read(LogQuery::from(Checkpoint::START, 1_000)).await.unwrap().changesets.len(), 0);
    let calls = faults.calls().take();
    assert!(calls["Query"] < 40, "one after the other for two seconds: {calls:?}");
}

/// The figures that `ees dynamodb cost` prints are those by which writes are billed.
#[tokio::test]
async fn writes_cost_what_they_are_said_to() {
    for format in [TableFormat::V3, TableFormat::V2, TableFormat::V1] {
        let account = account_with(format, TABLE).await;
        let client = client(&account);
        let store = committing(&account, &Faults::none()).await;
        for bytes in [300, 3_000, 30_000] {
            for (name, what) in [("plain", "begin a stream"), ("keyed", "append with an idempotency key")] {
                let is_keyed = name == "keyed";
                if is_keyed && format != TableFormat::V3 {
                    continue; // A transaction, which the emulator does not bill as AWS does.
                }
                let name = format!("{name}/{bytes}");
                let events = format!("[\"{}\"]", "x".repeat(bytes - 6));
                let mut commit = commit(&name, 0, &events);
                commit.idempotency_key = is_keyed.then(|| "key".parse().unwrap());
                store.commit(commit).await.unwrap();
                let mut stored = get(&client, TABLE, &name, 1).await.unwrap();
                stored.insert("stream_id".to_owned(), s(&format!("copy of {name}")));
                let billed = billed(client.put_item().table_name(TABLE).set_item(Some(stored))).await;
                let said =
                    cost(bytes as u64, format).into_iter().find(|it| it.what == what).unwrap().write_units;
                assert!(
                    (billed * 1_000.0 - said as f64).abs() < 1.0,
                    "{format:?}, {what}, {bytes} bytes: {billed} is not {said} / 1000"
                );
            }
        }
        assert!(read(&store).await.is_empty());
    }
}

/// What the emulator bills for a write.
async fn billed(put: PutItemFluentBuilder) -> f64 {
    let answer = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
    answer.consumed_capacity.and_then(|it| it.capacity_units).unwrap()
}

/// Of the units of a batch, the counter's entry in the index is what differs from format to format.
#[tokio::test]
async fn the_counter_has_an_entry_in_the_order_only_in_earlier_tables() {
    for (format, partition, entries) in [(TableFormat::V3, "stripe", 0), (TableFormat::V2, "page", 1)] {
        let account = account_with(format, TABLE).await;
        let writer = committing(&account, &Faults::none()).await;
        append(&writer, "a", 0).await;
        indexer(&account, &Faults::none()).await.index(vec![candidate("a", 1)]).await.unwrap();
        let index = client(&account).query().table_name(TABLE).index_name("EnumerationIndex");
        let index = index.key_condition_expression(format!("{partition} = :p"));
        let index = index.expression_attribute_values(":p", n(0));
        let found = index.send().await.unwrap().items.unwrap();
        let counters = found.iter().filter(|item| item["stream_id"] != s("a")).count();
        assert_eq!((counters, found.len()), (entries, entries + 1), "{format:?}");
    }
}

/// Those who wait, again and again, share one poll of the counter; and what is committed here they get at once.
#[tokio::test]
async fn followers_of_one_process_share_one_poll() {
    let account = account().await;
    let faults = Faults::none();
    let store = Arc::new(super::support::store(&account, &faults).await);
    let follow = |store: Arc<Store>| async move {
        loop {
            let query = LogQuery::from(Checkpoint::START, 10).with_wait(Duration::from_millis(100));
            if store.read(query).await.unwrap().next > Checkpoint::START {
                return;
            }
        }
    };
    let followers: Vec<_> = (0..10).map(|_| tokio::spawn(follow(store.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    faults.calls().take();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let reads = faults.calls().take().remove("GetItem").unwrap_or_default();
    assert!((1..=12).contains(&reads), "{reads} reads of the counter in two seconds");
    append(&store, "a", 0).await;
    for follower in followers {
        follower.await.unwrap();
    }
}
