//! What happens in one stream leads to commits in others, each made once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::ReadModelId;
use ees_projector::database::{Database, ParkedRows};
use ees_projector::process_manager::{Append, CommitReactor};
use ees_projector::reactor::{Cause, Settings, Start};
use ees_projector::{Drained, OnDemand, memory};
use ees_store::event::Upcasters;
use ees_store::{
    Changeset, ChangesetLog, Commit, EventStore, Events, Expectation, Json, StreamQuery, TraceContext,
    memory as store,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Stock {
    SoldOut { pieces: u32 },
}

async fn commit(store: &store::Store, stream: &str, expectation: Expectation, metadata: &str) {
    let events = Events::parse(r#"[{"type":"sold_out","pieces":5},{"type":"else"}]"#).unwrap();
    let commit = Commit::new(stream.parse().unwrap(), expectation, events);
    store.commit(commit.with_metadata(Json::parse(metadata).unwrap()).unwrap()).await.unwrap();
}

/// Orders as many pieces again, in a stream of the order's own, and notes it in the supplier's.
fn manager(store: &Arc<store::Store>, database: &memory::Database) -> OnDemand {
    let follow = |cause: &Cause<'_, Stock>| {
        let Stock::SoldOut { pieces } = cause.event;
        let order = format!("order/{}/{}", cause.stream_id(), cause.event_id).parse().unwrap();
        let ordered = Append::of(order, &[json!({"type": "ordered", "pieces": pieces})]).unwrap();
        let noted = json!({"type": "order_noted", "for": cause.stream_id().as_str()});
        let noted = Append::of("supplier".parse().unwrap(), &[noted]).unwrap();
        vec![ordered.expecting(Expectation::NewStream), noted.with_stream_type("supplier".parse().unwrap())]
    };
    let newer = Upcasters::new().step(("ordered", 1), ("ordered", 2), |_| Ok(())).unwrap();
    let manager = CommitReactor::new("order_more", store.clone(), follow).with_upcasters(newer);
    let settings = Settings { start: Start::Beginning, ..Settings::default() };
    OnDemand::reactor(manager, database.clone(), store.clone(), settings).unwrap()
}

async fn drain(manager: &OnDemand) {
    assert_eq!(manager.drain_until(Instant::now() + Duration::from_secs(20)).await, Drained::CaughtUp);
}

async fn stream(store: &store::Store, name: &str) -> Vec<Changeset> {
    store.read_stream(StreamQuery::all(name.parse().unwrap())).await.unwrap().changesets
}

#[tokio::test]
async fn commits_follow_from_an_event_and_say_so() {
    let (store, database) = (Arc::new(store::Store::new()), memory::Database::new());
    commit(&store, "chair", Expectation::NewStream, r#"{"correlation_id":"r-1","user":"ada","ip":"::1"}"#)
        .await;
    commit(&store, "table", Expectation::NewStream, "{}").await;
    drain(&manager(&store, &database)).await;
    let order = &stream(&store, "order/chair/1").await[0];
    assert_eq!(order.events.as_stored(), r#"[{"version":2,"pieces":5,"type":"ordered"}]"#);
    let metadata: serde_json::Value = order.metadata.read().unwrap();
    assert_eq!(metadata, json!({"correlation_id": "r-1", "causation_id": "chair@1", "user": "ada"}));
    let supplier = stream(&store, "supplier").await;
    let metadata: serde_json::Value = supplier[1].metadata.read().unwrap();
    assert_eq!(metadata, json!({"correlation_id": "table@1", "causation_id": "table@1"}));
    assert_eq!(supplier[0].stream_type.as_ref().unwrap().as_str(), "supplier");
}

#[tokio::test]
async fn what_follows_belongs_to_the_trace_of_its_cause() {
    let (store, database) = (Arc::new(store::Store::new()), memory::Database::new());
    let trace =
        TraceContext::from_stored("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=1").unwrap();
    let sold_out = Events::parse(r#"[{"type":"sold_out","pieces":5}]"#).unwrap();
    let traced = Commit::new("chair".parse().unwrap(), Expectation::NewStream, sold_out);
    store.commit(traced.with_trace(trace.clone())).await.unwrap();
    commit(&store, "table", Expectation::NewStream, "{}").await;
    drain(&manager(&store, &database)).await;
    assert_eq!(stream(&store, "order/chair/1").await[0].trace, Some(trace));
    assert_eq!(stream(&store, "order/table/1").await[0].trace, None);
}

#[tokio::test]
async fn a_commit_is_made_once_even_if_the_ledger_is_lost() {
    let (store, database) = (Arc::new(store::Store::new()), memory::Database::new());
    commit(&store, "chair", Expectation::NewStream, "{}").await;
    let first = manager(&store, &database);
    drain(&first).await;
    let head = store.head().await.unwrap();
    // Acts upon all of it once more, and its ledger has nothing.
    drain(&manager(&store, &memory::Database::new())).await;
    assert_eq!(store.head().await.unwrap().checkpoint, head.checkpoint);
    commit(&store, "chair", Expectation::LastChangeset(1.into()), "{}").await;
    drain(&first).await;
    assert_eq!(stream(&store, "supplier").await.len(), 2);
}

#[tokio::test]
async fn an_expectation_that_is_not_met_waits_for_an_operator() {
    let (store, database) = (Arc::new(store::Store::new()), memory::Database::new());
    commit(&store, "order/chair/1", Expectation::NewStream, "{}").await;
    commit(&store, "chair", Expectation::NewStream, "{}").await;
    drain(&manager(&store, &database)).await;
    let parked = database.begin().await.unwrap().parked(&ReadModelId::live("order_more")).await.unwrap();
    let chair = parked.iter().find(|parked| parked.stream_id.as_str() == "chair").unwrap();
    assert!(chair.is_given_up() && chair.error.contains("outdated"), "{chair:?}");
}
