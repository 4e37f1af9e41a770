//! Many commit and index at once, on a bad day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::dynamodb::{Indexer, Store, TableFormat};
use ees_store::{ChangesetLog, Checkpoint, EventStore, LogEntry, LogQuery, StreamQuery};
use ees_test_aws::{Account, Faults};
use futures::future::join_all;

use super::formats::account_with;
use super::support::{
    TABLE, WAIT, account, candidate, commit, committing, indexer, is_gapless_and_ordered, labels, read,
    read_all, store,
};

const COMMITTERS: u64 = 16;
const COMMITS: u64 = 12;
const TOTAL: usize = (COMMITTERS * COMMITS) as usize;

/// Appends to a stream of its own and to one that four share.
async fn write(store: &Store, writer: u64) {
    for number in 0..COMMITS {
        if number % 2 == 0 {
            let own = commit(&format!("own/{writer}"), number / 2, "[1]")
                .with_idempotency_key(key_of(writer, number));
            store.commit(own).await.unwrap();
            continue;
        }
        let shared = format!("shared/{}", writer % 4);
        let mut last = 0;
        loop {
            let attempt = commit(&shared, last, "[1]").with_idempotency_key(key_of(writer, number));
            match store.commit(attempt).await {
                Ok(_) => break,
                Err(ees_store::Error::Refused(_)) => last = length(store, &shared).await,
                Err(other) => panic!("expected a commit or a refusal, got {other:?}"),
            }
        }
    }
}

fn key_of(writer: u64, number: u64) -> ees_store::IdempotencyKey {
    format!("{writer}-{number}").parse().unwrap()
}

async fn length(store: &Store, stream: &str) -> u64 {
    let page = store.read_stream(StreamQuery::all(stream.parse().unwrap())).await;
    page.map_or(0, |page| page.changesets.len() as u64)
}

async fn follow(log: Arc<Store>) -> Vec<LogEntry> {
    let mut read = Vec::new();
    let mut from = Checkpoint::START;
    while read.len() < TOTAL {
        let page = log.read(LogQuery::from(from, 50).with_wait(WAIT)).await.unwrap();
        read.extend(page.changesets);
        from = page.next;
    }
    read
}

/// Sixteen committers over four stores that each index, and four readers.
async fn everything_at_once(account: Account, seed: u64) {
    let faults = Faults::everything(seed).item_by_item(0.2);
    let stores = join_all((0..4).map(|_| store(&account, &faults))).await;
    let stores: Vec<_> = stores.into_iter().map(Arc::new).collect();
    let writers = (0..COMMITTERS).map(|writer| {
        let store = stores[usize::try_from(writer).unwrap() % 4].clone();
        tokio::spawn(async move { write(&store, writer).await })
    });
    let writers: Vec<_> = writers.collect();
    let readers: Vec<_> = stores.iter().map(|store| tokio::spawn(follow(store.clone()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let whole = read_all(&committing(&account, &Faults::none()).await, TOTAL).await;
    is_gapless_and_ordered(&whole);
    for reader in readers {
        assert_eq!(labels(&reader.await.unwrap()), labels(&whole), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_comes_twice_while_all_are_at_work_on_a_bad_day() {
    // More of them by `just bad-days`.
    let seeds = std::env::var("EES_FAULT_SEEDS").map_or(3, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        everything_at_once(account().await, seed).await;
    }
    everything_at_once(account_with(TableFormat::V2, TABLE).await, 1).await;
}

/// Three indexers at a time, killed after any number of calls, again and again: nothing is half done, and the
/// work goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn indexers_may_be_killed_anywhere() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let commits = (0..150_u64).map(|at| commit(&format!("s{}", at % 15), at / 15, "[1]")).collect();
    for verdict in writer.commit_in_order(commits).await {
        verdict.unwrap();
    }
    // The last of each stream: the rest is found from there.
    let last: Vec<_> = (0..15).map(|stream| candidate(&format!("s{stream}"), 10)).collect();
    for calls in 4..12 {
        let round = (0..3).map(|indexer_number| {
            let faults = Faults::everything(calls * 3 + indexer_number).item_by_item(0.2);
            let (account, last) = (account.clone(), last.clone());
            async move {
                let config = account.sdk_config_with(&faults);
                let indexing = tokio::spawn(async move {
                    // A few at a time, so that there is something to interrupt.
                    let indexer = Indexer::open(&config, TABLE).await?;
                    for one in last {
                        indexer.index(vec![one]).await?;
                    }
                    Ok::<_, ees_store::Error>(())
                });
                while faults.calls().total() < usize::try_from(calls * 2).unwrap() && !indexing.is_finished()
                {
                    tokio::task::yield_now().await;
                }
                indexing.abort();
                let _ = indexing.await;
                faults.cut_off().await;
            }
        });
        join_all(round).await;
        is_gapless_and_ordered(&read(&writer).await);
    }
    indexer(&account, &Faults::none()).await.index(last).await.unwrap();
    is_gapless_and_ordered(&read_all(&writer, 150).await);
}

/// Eight indexers get the same changesets, each in another order: all end well, and each changeset has one
/// place.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn indexers_at_the_same_work_all_get_through() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let commits = (0..200_u64).map(|at| commit(&format!("s{}", at % 20), at / 20, "[1]")).collect();
    for verdict in writer.commit_in_order(commits).await {
        verdict.unwrap();
    }
    let began = Instant::now();
    let faults = Faults::everything(11).item_by_item(0.2);
    let work = (0..8).map(|seed| {
        let (account, faults) = (account.clone(), faults.clone());
        tokio::spawn(async move {
            let mut candidates: Vec<_> =
                (0..200).map(|at| candidate(&format!("s{}", at % 20), at / 20 + 1)).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut candidates);
            indexer(&account, &faults).await.index(candidates).await.unwrap()
        })
    });
    let indexed = join_all(work).await.into_iter().map(|done| done.unwrap());
    let indexed: Vec<_> = indexed.collect();
    // Less, when the answer to a batch was lost: the indexer that asks again finds it done.
    assert!(indexed.iter().sum::<usize>() <= 200, "no changeset was indexed twice: {indexed:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "no livelock: {:?}", began.elapsed());
    is_gapless_and_ordered(&read_all(&writer, 200).await);
}
