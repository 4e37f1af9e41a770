//! Commands that come again under the caller's key.

use std::sync::Arc;

use ees_aggregate::{Context, ExecuteError, Repository};

use crate::rigged::Rigged;
use crate::stock::{SoldOut, Stock, StockCommand, id, reserve};

fn key(text: &str) -> Context {
    Context::new().with_key(text.parse().unwrap())
}

async fn with_stock(store: &Arc<Rigged>, left: u64) -> Repository<Stock> {
    let stocks = Repository::new(store.clone());
    stocks.execute(&id("stock/1"), &StockCommand::Restock(left)).await.unwrap();
    stocks
}

pub(crate) async fn a_repeat_under_the_callers_key_is_answered_like_the_first(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    let of = id("stock/1");
    let first = stocks.execute_with(&of, &reserve("ada"), key("k")).await.unwrap();
    stocks.execute(&of, &reserve("bob")).await.unwrap();
    let again = stocks.execute_with(&of, &reserve("ada"), key("k")).await.unwrap();
    assert_eq!(again.committed.unwrap().changeset_id, first.committed.unwrap().changeset_id);
    assert_eq!((again.aggregate.buyers.len(), store.count().await), (2, 3));
}

pub(crate) async fn a_repeat_that_would_be_refused_is_told_apart_from_a_refusal(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 1).await;
    stocks.execute_with(&id("stock/1"), &reserve("ada"), key("k")).await.unwrap();
    let again = stocks.execute_with(&id("stock/1"), &reserve("ada"), key("k")).await.unwrap_err();
    assert!(matches!(again, ExecuteError::AlreadyExecuted { .. }), "{again}");
    assert_eq!(store.count().await, 2);
}

pub(crate) async fn a_repeat_that_decides_otherwise_changes_nothing(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 5).await;
    stocks.execute_with(&id("stock/1"), &StockCommand::Fill(9), key("k")).await.unwrap();
    stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    let again = stocks.execute_with(&id("stock/1"), &StockCommand::Fill(9), key("k")).await.unwrap_err();
    assert!(matches!(again, ExecuteError::AlreadyExecuted { .. }), "{again}");
    assert_eq!(store.count().await, 3);
}

pub(crate) async fn a_refusal_under_a_new_key_is_a_refusal(store: Arc<Rigged>) {
    let stocks = with_stock(&store, 0).await;
    for stream in ["stock/1", "stock/2"] {
        let refused = stocks.execute_with(&id(stream), &reserve("ada"), key("k")).await.unwrap_err();
        assert!(matches!(refused, ExecuteError::Refused(SoldOut)), "{refused}");
    }
    assert_eq!(store.count().await, 1);
    stocks.execute(&id("stock/1"), &StockCommand::Restock(1)).await.unwrap();
    stocks.execute_with(&id("stock/1"), &reserve("ada"), key("k")).await.unwrap();
}
