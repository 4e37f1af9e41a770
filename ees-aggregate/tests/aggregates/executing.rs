//! Deciding and committing, with others at it too, and answers that get lost.

use std::sync::Arc;

use ees_aggregate::{Context, Error, ExecuteError, Metadata, Repository};
use ees_store::{EventStore, StreamQuery, StreamRange, TraceContext};
use futures::future::join_all;

use crate::rigged::{Rigged, Turn};
use crate::stock::{SoldOut, Stock, StockCommand, id, reserve};

fn stocks(store: &Arc<Rigged>) -> Repository<Stock> {
    Repository::new(store.clone())
}

async fn with_stock(store: &Arc<Rigged>, left: u64) -> Repository<Stock> {
    let stocks = stocks(store);
    stocks.execute(&id("stock/1"), &StockCommand::Restock(left)).await.unwrap();
    stocks
}

pub(crate) async fn many_executors_at_once_lose_nothing(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    let executors = (0..16).map(|_| {
        let stocks = stocks.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                stocks.execute(&id("stock/1"), &StockCommand::Restock(1)).await.unwrap();
            }
        })
    });
    for executor in join_all(executors).await {
        executor.unwrap();
    }
    let loaded = stocks.load(&id("stock/1")).await.unwrap().unwrap();
    assert_eq!((loaded.left, loaded.changeset_id.get()), (80, 80));
}

pub(crate) async fn what_is_scarce_is_given_out_once(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 50).await;
    assert_eq!(buyers_served((0..200).map(|_| stocks.clone())).await, 50);
    only_fifty_were_given_out(&stocks).await;
}

/// As several processes do: they know nothing of each other's turns.
pub(crate) async fn what_is_scarce_is_given_out_once_among_several(store: Arc<Rigged>) {
    let several: Vec<_> = (0..4).map(|_| stocks(&store)).collect();
    let stocks = with_stock(&store, 50).await;
    assert_eq!(buyers_served((0..200).map(|buyer| several[buyer % 4].clone())).await, 50);
    only_fifty_were_given_out(&stocks).await;
}

/// How many got something, when each of these wants one at the same moment; the others are told that there is
/// no more.
async fn buyers_served(repositories: impl Iterator<Item = Repository<Stock>>) -> usize {
    let buyers = repositories.enumerate().map(|(buyer, stocks)| {
        tokio::spawn(async move { stocks.execute(&id("stock/1"), &reserve(buyer.to_string())).await })
    });
    let mut served = 0;
    for outcome in join_all(buyers).await {
        match outcome.unwrap() {
            Ok(_) => served += 1,
            Err(ExecuteError::Refused(SoldOut)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    served
}

async fn only_fifty_were_given_out(stocks: &Repository<Stock>) {
    let loaded = stocks.load(&id("stock/1")).await.unwrap().unwrap();
    let mut buyers = loaded.buyers.clone();
    buyers.sort();
    buyers.dedup();
    assert_eq!((loaded.left, buyers.len()), (0, 50));
}

pub(crate) async fn a_lost_answer_is_not_a_second_commit(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    store.rig([Turn::LoseAnswer, Turn::LoseAnswer]);
    let executed = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    assert_eq!((executed.aggregate.left, store.count().await), (4, 2));
    assert_eq!(Some(executed.aggregate), stocks.load(&id("stock/1")).await.unwrap());
}

pub(crate) async fn a_lost_answer_is_not_a_second_commit_when_others_came_after(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    store.rig([Turn::LoseAnswerThenOvertake]);
    let executed = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    assert_eq!(executed.committed.unwrap().changeset_id.get(), 2);
    let loaded = stocks.load(&id("stock/1")).await.unwrap().unwrap();
    assert_eq!((loaded.buyers.len(), store.count().await), (1, 3));
}

pub(crate) async fn a_request_that_was_lost_is_sent_again(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    store.rig([Turn::LoseRequest, Turn::Overtake, Turn::LoseRequest]);
    let executed = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    assert_eq!((executed.aggregate.left, store.count().await), (1004, 3));
}

pub(crate) async fn a_store_that_stays_away_is_an_error(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    store.rig([Turn::LoseRequest; 4]);
    let error = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap_err();
    assert!(matches!(&error, ExecuteError::Failed(Error::Store(cause)) if cause.is_transient()), "{error}");
    assert_eq!(store.count().await, 1);
}

pub(crate) async fn only_what_is_new_is_read_after_a_conflict(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    store.rig([Turn::Overtake]);
    store.asked();
    let executed = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    assert_eq!(executed.aggregate.left, 1004, "decided on what others did");
    let from: Vec<_> = store.asked().iter().map(first_of).collect();
    assert_eq!(from, [1, 2], "all, then what came after the first changeset");
}

fn first_of(query: &StreamQuery) -> u64 {
    match query.range {
        StreamRange::Changesets { from, .. } => from.get(),
        StreamRange::Events { from, .. } => panic!("by event {from}"),
    }
}

pub(crate) async fn a_conflict_that_does_not_end_is_seen(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await.with_retries(2);
    store.rig([Turn::Overtake; 4]);
    let error = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap_err();
    assert!(matches!(&error, ExecuteError::Conflict { attempts: 3, .. }), "{error}");
    assert_eq!(store.count().await, 4, "three of others");
}

pub(crate) async fn a_refusal_stores_nothing(store: Arc<Rigged>) {
    let error = stocks(&store).execute(&id("stock/1"), &reserve("ada")).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Refused(SoldOut)));
    assert_eq!(store.count().await, 0);
}

pub(crate) async fn a_command_that_changes_nothing_stores_nothing(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    let executed = stocks.execute(&id("stock/1"), &StockCommand::Fill(3)).await.unwrap();
    assert_eq!((executed.committed, executed.events.len(), store.count().await), (None, 0, 1));
    let executed = stocks.execute(&id("stock/1"), &StockCommand::Fill(9)).await.unwrap();
    assert_eq!((executed.aggregate.left, store.count().await), (9, 2));
}

pub(crate) async fn metadata_is_kept_with_the_changeset(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    let asked = Metadata::new().user("ada").correlation_id("r-1").causation_id("mail-7").with("ip", "::1");
    stocks.execute_with(&id("stock/1"), &StockCommand::Restock(1), asked.clone()).await.unwrap();
    let page = store.read_stream(StreamQuery::all(id("stock/1"))).await.unwrap();
    assert_eq!(Metadata::of(&page.changesets[0]).unwrap(), asked);
    assert_eq!(page.changesets[0].stream_type.as_ref().unwrap().as_str(), "stock");

    let follows = Metadata::caused_by(&page.changesets[0]).unwrap();
    stocks.execute_with(&id("stock/2"), &StockCommand::Restock(1), follows).await.unwrap();
    let page = store.read_stream(StreamQuery::all(id("stock/2"))).await.unwrap();
    let kept = Metadata::of(&page.changesets[0]).unwrap();
    assert_eq!(kept, Metadata::new().user("ada").correlation_id("r-1").causation_id("stock/1@1"));
}

pub(crate) async fn a_trace_is_kept_with_the_changeset(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    let trace =
        TraceContext::from_stored("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=1").unwrap();
    let context = Context::new().with_trace(trace.clone());
    stocks.execute_with(&id("stock/1"), &StockCommand::Restock(1), context).await.unwrap();
    stocks.execute(&id("stock/1"), &StockCommand::Restock(1)).await.unwrap();
    let page = store.read_stream(StreamQuery::all(id("stock/1"))).await.unwrap();
    let kept: Vec<_> = page.changesets.iter().map(|it| it.trace.clone()).collect();
    assert_eq!(kept, [Some(trace), None]);
}
