//! From streams to states.

use std::sync::Arc;

use ees_aggregate::{Error, Repository};
use ees_store::{ChangesetId, Commit, EventStore, Events, Expectation, Quarantined};
use futures::StreamExt;

use crate::rigged::Rigged;
use crate::stock::{Stock, StockCommand, id, reserve};

fn stocks(store: &Arc<Rigged>) -> Repository<Stock> {
    Repository::new(store.clone())
}

pub(crate) async fn an_aggregate_is_what_its_events_have_made_of_it(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    assert!(stocks.load(&id("stock/1")).await.unwrap().is_none());
    stocks.execute(&id("stock/1"), &StockCommand::Restock(3)).await.unwrap();
    let executed = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    let loaded = stocks.load(&id("stock/1")).await.unwrap().unwrap();
    assert_eq!(loaded.state, Stock { left: 2, buyers: vec!["ada".to_owned()] });
    assert_eq!(loaded, executed.aggregate, "execute returns what load finds");
    assert_eq!(executed.committed.unwrap().changeset_id, ChangesetId::new(2));
}

pub(crate) async fn a_stream_of_many_pages_is_read_whole(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    stocks.execute(&id("stock/1"), &StockCommand::Restock(50)).await.unwrap();
    for buyer in 0..25 {
        stocks.execute(&id("stock/1"), &reserve(buyer.to_string())).await.unwrap();
    }
    store.cut_pages(3);
    store.asked();
    let loaded = stocks.load(&id("stock/1")).await.unwrap().unwrap();
    assert_eq!((loaded.left, loaded.buyers.len(), loaded.changeset_id.get()), (25, 25, 26));
    assert_eq!(store.asked().len(), 9, "26 changesets, 3 a page");
    assert_eq!(stocks.load_at(&id("stock/1"), ChangesetId::new(11)).await.unwrap().buyers.len(), 10);
    let executed = stocks.execute(&id("stock/1"), &reserve("last")).await.unwrap();
    assert_eq!(executed.aggregate.left, 24);
}

pub(crate) async fn an_aggregate_can_be_loaded_as_it_was(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    let of = id("stock/1");
    for count in [1, 10, 100] {
        stocks.execute(&of, &StockCommand::Restock(count)).await.unwrap();
    }
    for (at, left) in [(0, 0), (1, 1), (2, 11), (3, 111)] {
        let then = stocks.load_at(&of, ChangesetId::new(at)).await.unwrap();
        assert_eq!((then.left, then.changeset_id.get()), (left, at));
    }
    let ahead = stocks.load_at(&of, ChangesetId::new(4)).await.unwrap_err();
    assert!(matches!(ahead, Error::AheadOfStream { last, .. } if last == ChangesetId::new(3)), "{ahead}");
    let missing = stocks.load_at(&id("stock/2"), ChangesetId::new(1)).await.unwrap_err();
    assert!(matches!(missing, Error::AheadOfStream { last: ChangesetId::NONE, .. }), "{missing}");
}

pub(crate) async fn all_aggregates_of_a_type_are_loaded_once_each(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    for round in 0..3 {
        for number in 0..20_u64 {
            stocks.execute(&id(&format!("stock/{number}")), &StockCommand::Restock(number)).await.unwrap();
            store.append(&id(&format!("other/{number}-{round}")), r#"[{"type":"else"}]"#).await;
        }
    }
    let all: Vec<_> = stocks.load_all().map(|loaded| loaded.unwrap()).collect().await;
    let found: Vec<_> = all.iter().map(|it| (it.stream_id.to_string(), it.left)).collect();
    let expected: Vec<_> = (0..20).map(|number| (format!("stock/{number}"), number * 3)).collect();
    assert_eq!(found, expected, "in the order in which they began");
}

pub(crate) async fn one_that_can_not_be_loaded_does_not_hide_the_others(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    for number in 0..3 {
        stocks.execute(&id(&format!("stock/{number}")), &StockCommand::Restock(1)).await.unwrap();
    }
    store.append(&id("stock/1"), r#"[{"type":"restocked","count":"many"}]"#).await;
    let all: Vec<_> = stocks.load_all().collect().await;
    assert_eq!(all.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let error = all[1].as_ref().unwrap_err();
    assert!(matches!(error, Error::Unreadable { event_id, .. } if event_id.get() == 2), "{error}");
}

pub(crate) async fn an_aggregate_is_not_made_without_a_quarantined_changeset(store: Arc<Rigged>) {
    let stocks = stocks(&store);
    stocks.execute(&id("stock/1"), &StockCommand::Restock(1)).await.unwrap();
    let events = Events::quarantine(Quarantined::new("not JSON", "[NaN]", "{}"), 1);
    let commit = Commit::new(id("stock/1"), Expectation::LastChangeset(1.into()), events);
    match store.commit(commit).await {
        Ok(_) => {}
        // No client can commit such a changeset.
        Err(ees_store::Error::InvalidRequest(_)) => return,
        Err(error) => panic!("{error}"),
    }
    let error = stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap_err();
    assert!(error.to_string().contains("event 2") && error.to_string().contains("quarantined"), "{error}");
}

pub(crate) async fn a_stream_of_another_type_is_refused(store: Arc<Rigged>) {
    let order = Commit::new(id("order/1"), Expectation::NewStream, Events::parse("[1]").unwrap());
    store.commit(order.with_stream_type("order".parse().unwrap())).await.unwrap();
    let error = stocks(&store).load(&id("order/1")).await.unwrap_err();
    assert!(matches!(&error, Error::WrongType { found, .. } if found.as_str() == "order"), "{error}");
}

pub(crate) async fn a_stream_without_a_type_is_taken_as_it_is(store: Arc<Rigged>) {
    store.append(&id("stock/1"), r#"[{"type":"restocked","count":2}]"#).await;
    let executed = stocks(&store).execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    assert_eq!((executed.aggregate.left, executed.aggregate.stream_type), (1, None));
}
