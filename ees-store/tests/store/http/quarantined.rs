//! Changesets that can't be read: never a failure, and never a member that an existing client must know.

use std::sync::Arc;

use ees_store::http::QuarantineWatch;
use ees_store::{
    ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery, Quarantined, memory,
};
use serde_json::json;

use super::docs::assert_described;
use super::support::{Answer, TestServer};

const TYPED: &str = "6f1c2b9e-04d7-4bd6-a2a0-0d8a1e6cbd28";

/// Event 1, then two events that can't be read, then event 4.
async fn store(stream: &str) -> Arc<memory::Store> {
    let store = memory::Store::new();
    let held = Quarantined::new("its `events` are not JSON", "[NaN,\"\u{1}\"]", "{\"a\":1}");
    for (last, events) in [
        (0, Events::parse("[1]").unwrap()),
        (1, Events::quarantine(held, 2)),
        (2, Events::parse("[4]").unwrap()),
    ] {
        let commit = Commit::new(stream.parse().unwrap(), Expectation::LastChangeset(last.into()), events);
        store.commit(commit.with_stream_type("t".parse().unwrap())).await.unwrap();
    }
    Arc::new(store)
}

#[tokio::test]
async fn a_changeset_that_can_not_be_read_is_listed_with_its_text_and_the_reason() {
    let server = TestServer::with(store("s").await, |api| api).await;
    let held =
        json!({"reason": "its `events` are not JSON", "events": "[NaN,\"\u{1}\"]", "metadata": "{\"a\":1}"});
    let one = json!({"changeset_id": 2, "events": [], "metadata": {}, "quarantined": held});
    let mut placed = one.clone();
    placed["stream_id"] = "s".into();
    placed["checkpoint"] = 1.into();
    server
        .get("/changesets?checkpoint=1&limit=1")
        .await
        .is(200, &json!({"checkpoint": 1, "limit": 1, "changesets": [placed], "next_checkpoint": 2}));
    let changesets = server.get("/streams/s/changesets?from=2&to=2").await;
    changesets.is(200, &json!({"stream_id": "s", "changesets": [one]}));
    let positions = server.get("/changesets?include=position").await.json();
    assert_eq!(positions["changesets"][1]["event_count"], 2);
    assert_eq!(positions["changesets"][1]["first_event_id"], 2);
    assert_eq!(positions["changesets"][0].get("event_count"), None);

    let conflict = server.post("/streams/s?expected_last_changeset=1", "{\"events\":[1]}").await;
    assert_eq!((conflict.status, &conflict.json()["forthcoming_changesets"][0]), (409, &one));
}

#[tokio::test]
async fn one_entry_stands_for_the_events_that_can_not_be_read() {
    let server = TestServer::with(store("s").await, |api| api).await;
    let ids = async |range: &str| {
        let answer = server.get(&format!("/streams/s/events?{range}")).await;
        (answer.numbers("events", "id"), answer.json()["next"].as_u64())
    };
    assert_eq!(ids("").await, (vec![1, 3, 4], None));
    assert_eq!(ids("from=2&to=2").await, (vec![2], None), "also of a part of it");
    assert_eq!(ids("from=3").await, (vec![3, 4], None));
    assert_eq!(ids("limit=1").await, (vec![1], Some(2)));
    assert_eq!(ids("from=2&limit=1").await, (vec![3], Some(4)));
    let events = server.get("/streams/s/events").await.json();
    assert_eq!(events["events"][1]["data"], json!(null));
    assert_eq!(events["events"][1]["quarantined"]["events"], "[NaN,\"\u{1}\"]");
    assert_eq!(events["events"][2], json!({"id": 4, "data": 4}));
}

#[tokio::test]
async fn a_typed_stream_shows_an_event_of_a_type_that_nobody_takes_for_its_own() {
    let server = TestServer::with(store(TYPED).await, |api| api).await;
    let page = server.get(&format!("/typed/streams/t/{TYPED}/events")).await.json();
    let events = page["eventPage"]["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|it| (it["revision"].as_u64().unwrap(), &it["eventType"])).collect();
    assert_eq!(told, [(1, &json!("")), (3, &json!("quarantined")), (4, &json!(""))]);
    assert!(events[1]["payload"].as_str().unwrap().contains("NaN"));
}

#[tokio::test]
async fn its_answers_are_as_they_are_described() {
    let server = TestServer::with(store("s").await, |api| api).await;
    let api = server.get("/openapi.json").await.json();
    let is_described = |path: &str, answer: &Answer| {
        let schema = &api["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert_described(&api, schema, &answer.json());
    };
    is_described("/changesets", &server.get("/changesets?include=position").await);
    is_described("/streams/{stream_id}/changesets", &server.get("/streams/s/changesets").await);
    is_described("/streams/{stream_id}/events", &server.get("/streams/s/events").await);
}

#[tokio::test]
async fn readiness_and_metrics_tell_of_what_a_reader_has_found() {
    let store = store("s").await;
    let watch = Arc::new(QuarantineWatch::new(store.clone()));
    let server = TestServer::with(store, |api| api.with_quarantine(watch.clone())).await;
    let told = async || {
        let readiness = server.get("/health/ready").await;
        let metrics = server.get("/metrics").await.text().to_owned();
        let count = metrics.lines().find(|line| line.starts_with("ees_quarantined_changesets "));
        (readiness.status, readiness.text().contains("the first at checkpoint 1"), count.unwrap().to_owned())
    };
    assert_eq!(told().await, (200, false, "ees_quarantined_changesets 0".to_owned()));
    for _ in 0..2 {
        watch.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
        assert_eq!(told().await, (200, true, "ees_quarantined_changesets 1".to_owned()));
    }
}
