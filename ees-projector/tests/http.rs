//! `/projections`, metrics and readiness, from the wire; what reactors post and commit.
#![cfg(all(feature = "http", feature = "testkit", feature = "webhook"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "http/process_manager.rs"]
mod process_manager;
#[path = "http/webhook.rs"]
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::reactor::{self, Cause, PermanentError, Reactor};
use ees_projector::{
    BoxError, OnFailure, Order, Parking, Projection, Projector, Recorded, Retry, Running, Settings, http,
    memory,
};
use ees_store::client::Client;
use ees_store::http::{Api, ApiKeys, Limits, Server};
use ees_store::{
    Commit, Error, EventStore, Events, Expectation, Refusal, StreamId, StreamQuery, memory as store,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

struct Fragile {
    name: &'static str,
    broken: Arc<AtomicBool>,
}

impl Projection<memory::Tx> for Fragile {
    type Event = Value;
    fn name(&self) -> &str {
        self.name
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    async fn create_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, event: Recorded<'_, Value>, _: &mut memory::Tx) -> Result<(), BoxError> {
        if self.broken.load(SeqCst) && event.stream_id().as_str() == "bad" {
            return Err("secret detail".into());
        }
        Ok(())
    }
}

struct World {
    store: Arc<store::Store>,
    broken: Arc<AtomicBool>,
    url: String,
    _running: Running,
    _stop: oneshot::Sender<()>,
}

impl World {
    async fn new(keys: Option<&str>) -> Self {
        let store = Arc::new(store::Store::new());
        let broken = Arc::new(AtomicBool::new(true));
        let mut projector = Projector::new(store.clone());
        let once = Retry { times: 0, ..Retry::default() };
        for (name, on_failure) in
            [("pausing", OnFailure::Pause), ("parking", OnFailure::Park(Parking::default()))]
        {
            let projection = Fragile { name, broken: broken.clone() };
            let settings = Settings { retry: once, on_failure, ..Settings::default() };
            projector.projection(projection, memory::Database::new(), settings).unwrap();
        }
        Self { broken, ..Self::of(store, projector.start(), keys).await }
    }

    async fn of(store: Arc<store::Store>, running: Running, keys: Option<&str>) -> Self {
        Self::built(store, running, |api| match keys {
            Some(keys) => api.with_keys(ApiKeys::parse(keys).unwrap()),
            None => api,
        })
        .await
    }

    async fn built(store: Arc<store::Store>, running: Running, build: impl FnOnce(Api) -> Api) -> Self {
        let api = build(Api::new(store.clone(), store.clone()));
        let router = http::install(api, running.handle().clone()).router();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(router, async {
            let _ = stopped.await;
        }));
        Self { store, broken: Arc::default(), url, _running: running, _stop: stop }
    }

    fn client(&self, key: &str) -> Client {
        Client::builder(&self.url).api_key(key).retries(0).build().unwrap()
    }

    async fn commit(&self, stream: &str) -> u64 {
        let events = Events::parse("[{}]").unwrap();
        let commit = Commit::new(stream.parse().unwrap(), Expectation::NewStream, events);
        self.store.commit(commit).await.unwrap().checkpoint.unwrap().get()
    }

    async fn get(&self, path: &str) -> Value {
        self.client("none").get_json(path).await.unwrap()
    }

    async fn refused(&self, path: &str, body: Value) -> String {
        self.client("none").post_json::<_, Value>(path, &body).await.unwrap_err().to_string()
    }

    async fn refused_get(&self, path: &str) -> String {
        self.client("none").get_json::<Value>(path).await.unwrap_err().to_string()
    }

    /// One bad stream, then a good one; both projections have met them.
    async fn with_a_bad_stream() -> Self {
        let world = Self::new(None).await;
        let bad = world.commit("bad").await;
        let good = world.commit("good").await;
        world.get(&format!("/projections/parking?min_checkpoint={good}&timeout=20")).await;
        // The other one stops before it.
        let state = || async { world.get("/projections/pausing").await["state"].clone() };
        let paused = async {
            while state().await != "paused" {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), paused).await.unwrap();
        assert_eq!(bad, 0);
        world
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_every_projection_and_why_one_stands_still() {
    let world = World::with_a_bad_stream().await;
    let list = world.get("/projections").await;
    let list = list["projections"].as_array().unwrap();
    let names: Vec<_> = list.iter().map(|status| status["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["parking", "pausing"]);
    let (parking, pausing) = (&list[0], &list[1]);
    assert_eq!(
        (&parking["state"], &parking["checkpoint"], &parking["parked_streams"]),
        (&json!("following"), &json!(2), &json!(1))
    );
    assert_eq!(
        (&pausing["state"], &pausing["checkpoint"], &pausing["lag_changesets"]),
        (&json!("paused"), &json!(0), &json!(2))
    );
    assert_eq!(pausing["pause"]["reason"], "secret detail");
    assert_eq!(pausing["pause"]["failure"]["stream_id"], "bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_waits_for_its_own_write() {
    let world = World::new(None).await;
    for stream in ["a", "b", "c"] {
        let at = world.commit(stream).await;
        let status = world.get(&format!("/projections/pausing?min_checkpoint={at}")).await;
        assert_eq!(status["checkpoint"], at + 1);
        let status =
            world.get(&format!("/projections/parking?stream_id={stream}&changeset_id=1&timeout=20")).await;
        assert_eq!(status["checkpoint"], at + 1);
    }
    // The end of the log as a checkpoint: all there is.
    assert_eq!(world.get("/projections/pausing?min_checkpoint=3").await["checkpoint"], 3);
}

fn beginning(stream: &str) -> Commit {
    Commit::new(stream.parse().unwrap(), Expectation::NewStream, Events::parse("[{}]").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_answered_once_a_projection_shows_it() {
    let world = World::new(None).await;
    let client = world.client("none");
    for stream in ["a", "b", "c"] {
        let (commit, timeout) = (beginning(stream), Duration::from_secs(20));
        let (committed, is_visible) = client.commit_visible_in(&commit, "pausing", timeout).await.unwrap();
        assert!(is_visible);
        let shown = &world.get("/projections/pausing").await["checkpoint"];
        assert!(shown.as_u64() > committed.checkpoint.map(|checkpoint| checkpoint.get()), "{shown}");
    }
    // What it can't apply is committed all the same, and the answer says so.
    for (stream, projection, visible) in
        [("bad", "pausing", false), ("d", "pausing", false), ("e", "parking", true)]
    {
        let timeout = if visible { Duration::from_secs(20) } else { Duration::from_millis(50) };
        let commit = beginning(stream);
        let (committed, is_visible) = client.commit_visible_in(&commit, projection, timeout).await.unwrap();
        assert_eq!((committed.changeset_id.get(), is_visible), (1, visible), "{stream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_projection_parks_or_skips_is_not_visible_in_it() {
    let world = World::new(None).await;
    let client = world.client("none");
    let long = Duration::from_secs(20);
    for stream in ["a", "bad", "b"] {
        let (_, is_visible) = client.commit_visible_in(&beginning(stream), "parking", long).await.unwrap();
        assert_eq!(is_visible, stream != "bad", "{stream}");
    }
    // Later changesets of a parked stream are parked too.
    let later = Commit::new(
        "bad".parse().unwrap(),
        Expectation::LastChangeset(1.into()),
        Events::parse("[{}]").unwrap(),
    );
    let (committed, is_visible) = client.commit_visible_in(&later, "parking", long).await.unwrap();
    assert_eq!((committed.changeset_id.get(), is_visible), (2, false));

    let world = World::new(None).await;
    let client = world.client("none");
    let waiting = world.client("none");
    let waiting =
        tokio::spawn(async move { waiting.commit_visible_in(&beginning("bad"), "pausing", long).await });
    let skip = json!({"checkpoint": 0, "reason": "lost cause"});
    let skipped =
        async { while client.post_json::<_, Value>("/projections/pausing/skip", &skip).await.is_err() {} };
    tokio::time::timeout(long, skipped).await.expect("it pauses before the changeset");
    assert!(!waiting.await.unwrap().unwrap().1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_can_not_become_visible_is_refused_before_it_is_one() {
    let world = World::new(None).await;
    let client = world.client("none");
    let visible_in = async |commit: Commit, name: &str| {
        client.commit_visible_in(&commit, name, Duration::from_secs(20)).await.unwrap_err().error
    };
    let refused = visible_in(beginning("a"), "nobody").await;
    assert!(
        matches!(&refused, Error::Answered { code, .. } if code == "PROJECTION_NOT_FOUND"),
        "{refused:?}"
    );
    for path in [
        "/streams/a?timeout=1",
        "/streams/a?visible_in=pausing&timeout=61",
        "/streams/a?visible_in=pausing&timeout=x",
    ] {
        let refused = world.refused(path, json!({"events": [1]})).await;
        assert!(refused.contains("timeout"), "{refused}");
    }
    assert!(matches!(
        client.read_stream(StreamQuery::all("a".parse().unwrap())).await,
        Err(Error::StreamNotFound(_))
    ));
    world.commit("a").await;
    let refused = visible_in(beginning("a"), "pausing").await;
    assert!(matches!(refused, Error::Refused(Refusal::Conflict { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_is_answered_when_the_server_stops_and_keeps_no_other_one_out() {
    let store = Arc::new(store::Store::new());
    let mut projector = Projector::new(store.clone());
    let broken = Arc::new(AtomicBool::new(true));
    let projection = Fragile { name: "pausing", broken };
    projector.projection(projection, memory::Database::new(), Settings::default()).unwrap();
    let limits = Limits { requests: 1, waiting_requests: 1, ..Limits::default() };
    let world = World::built(store, projector.start(), |api| api.with_limits(limits)).await;
    let waiting = world.client("none");
    let waiting = tokio::spawn(async move {
        waiting.commit_visible_in(&beginning("bad"), "pausing", Duration::from_secs(60)).await
    });
    let client = world.client("none");
    let committed =
        async { while client.read_stream(StreamQuery::all("bad".parse().unwrap())).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), committed).await.unwrap();
    client.commit(beginning("other")).await.unwrap();
    let refused = client.commit_visible_in(&beginning("c"), "pausing", Duration::ZERO).await;
    assert!(matches!(refused.unwrap_err().error, Error::Overloaded));
    let World { _stop: stop, _running: running, .. } = world;
    drop(stop);
    let answer = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it does not wait on");
    assert!(!answer.unwrap().unwrap().1);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_projection_keeps_no_other_request_out() {
    let store = Arc::new(store::Store::new());
    let mut projector = Projector::new(store.clone());
    let projection = Fragile { name: "pausing", broken: Arc::default() };
    projector.projection(projection, memory::Database::new(), Settings::default()).unwrap();
    // Room for the other wait that shows that the first one has begun.
    let limits = Limits { requests: 2, waiting_requests: 1, ..Limits::default() };
    let world = World::built(store, projector.start(), |api| api.with_limits(limits)).await;
    for wait in ["min_checkpoint=7", "min%5Fcheckpoint=7", "stream%5Fid=a&changeset%5fid=1"] {
        let held = world.client("none");
        let path = format!("/projections/pausing?{wait}&timeout=20");
        // Tried again when the other wait below was there first.
        let held = tokio::spawn(async move { while held.get_json::<Value>(&path).await.is_err() {} });
        let other = "/projections/pausing?min_checkpoint=7&timeout=0";
        let until = async |full: bool| while world.refused_get(other).await.contains("overloaded") != full {};
        tokio::time::timeout(Duration::from_secs(20), until(true)).await.expect("the wait has begun");
        for _ in 0..2 {
            assert_eq!(world.get("/projections").await["projections"].as_array().unwrap().len(), 1);
            for operation in ["pause", "resume"] {
                let path = format!("/projections/pausing/{operation}");
                let body = json!({"reason": "waits keep no operator out"});
                world.client("none").post_json::<_, Value>(&path, &body).await.unwrap();
            }
        }
        held.abort();
        tokio::time::timeout(Duration::from_secs(20), until(false)).await.expect("the wait has ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_in_time_and_wrong_waits_are_refused() {
    let world = World::new(None).await;
    let client = world.client("none");
    for (query, want) in [
        ("min_checkpoint=7&timeout=0.05", "did not reach 7"),
        ("min_checkpoint=x", "min_checkpoint"),
        ("min_checkpoint=1&timeout=61", "between 0 and 60"),
        ("min_checkpoint=1&timeout=NaN", "between 0 and 60"),
        ("stream_id=a", "Give either"),
        ("stream_id=a&changeset_id=1&timeout=0.05", "no changeset 1"),
        ("stream_id=..&changeset_id=1", "stream id"),
    ] {
        let error = client.get_json::<Value>(&format!("/projections/pausing?{query}")).await.unwrap_err();
        assert!(error.to_string().contains(want), "{query}: {error}");
    }
    let error = client.get_json::<Value>("/projections/nobody").await.unwrap_err().to_string();
    assert!(error.contains("\"nobody\"") && error.contains("parking, pausing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_mends_resumes_skips_and_retries() {
    let world = World::with_a_bad_stream().await;
    let client = world.client("none");
    let refused = world.refused("/projections/pausing/skip", json!({"checkpoint": 0, "reason": " "})).await;
    assert!(refused.contains("reason"), "{refused}");
    let refused = world.refused("/projections/pausing/skip", json!({"checkpoint": 1, "reason": "x"})).await;
    assert!(refused.contains("can be skipped"), "{refused}");
    let body = json!({"checkpoint": 0, "reason": "lost cause"});
    client.post_json::<_, Value>("/projections/pausing/skip", &body).await.unwrap();
    assert_eq!(world.get("/projections/pausing?min_checkpoint=1").await["checkpoint"], 2);
    let audit = world.get("/projections/pausing/audit").await;
    assert_eq!(audit["audit"][0]["reason"], "lost cause");

    let parked = world.get("/projections/parking/parked").await;
    assert_eq!(
        (&parked["parked"][0]["stream_id"], &parked["parked"][0]["first"]),
        (&json!("bad"), &json!(1))
    );
    world.broken.store(false, SeqCst);
    let body = json!({"stream_id": "bad", "reason": "mended"});
    let status: Value = client.post_json("/projections/parking/retry", &body).await.unwrap();
    assert_eq!(status["parked_streams"], 0);

    let body = json!({"from": 0, "to": 1, "reason": "repair"});
    assert!(world.refused("/projections/pausing/checkpoint", body).await.contains("checkpoint 2"));
    for action in ["pause", "resume", "rebuild"] {
        let status: Value = client
            .post_json(&format!("/projections/pausing/{action}"), &json!({"reason": action}))
            .await
            .unwrap();
        assert_eq!(status["name"], "pausing");
    }
    assert_eq!(world.get("/projections/pausing?min_checkpoint=1").await["checkpoint"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_readiness_show_what_stands_still() {
    let world = World::with_a_bad_stream().await;
    let ready = world.get("/health/ready").await;
    assert_eq!(ready["status"], "degraded");
    let reason = ready["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("\"pausing\" is paused at checkpoint 0") && !reason.contains("secret"),
        "{reason}"
    );
    let metrics = text_of(&world.url, "/metrics").await;
    for line in [
        "ees_projection_paused{projection=\"pausing\"} 1.0",
        "ees_projection_stalled{projection=\"pausing\"} 1.0",
        "ees_projection_paused{projection=\"parking\"} 0.0",
        "ees_projection_parked_streams{projection=\"parking\"} 1.0",
        "ees_projection_checkpoint{projection=\"parking\"} 2.0",
        "ees_projection_events_recognized{projection=\"parking\"} 1.0",
        "ees_projection_events_passed_over{projection=\"parking\"} 0.0",
        "ees_projection_batch_changesets_sum{projection=\"parking\"} 1.0",
        "ees_projection_step_duration_seconds_count{projection=\"parking\"} ",
        "ees_projection_retries_total{projection=\"pausing\"} ",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let none = "ees_projection_retries_total{projection=\"pausing\"} 0";
    assert!(!metrics.lines().any(|line| line == none), "what failed was tried again");
}

struct Refusing;

impl Reactor for Refusing {
    type Event = Value;
    fn name(&self) -> &str {
        "refusing"
    }
    async fn react(&self, cause: Cause<'_, Value>) -> Result<(), BoxError> {
        cause.effect("post", async || Err::<(), _>(PermanentError::because("no"))).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_are_listed_tried_again_and_discarded() {
    let store = Arc::new(store::Store::new());
    let mut projector = Projector::new(store.clone());
    projector
        .reactor(
            Refusing,
            memory::Database::new(),
            reactor::Settings { start: reactor::Start::Beginning, ..reactor::Settings::default() },
        )
        .unwrap();
    let running = projector.start();
    let world = World::of(store, running, None).await;
    let waits = async |field: &str, number: u64| {
        let reached = async {
            while world.get("/projections/refusing").await[field] != number {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    };
    waits("checkpoint", 0).await;
    world.commit("a").await;
    waits("given_up_streams", 1).await;
    let listed = world.get("/projections/refusing/effects?stream_id=a&state=parked").await;
    assert_eq!(
        (listed["effects"][0]["effect"].as_str(), &listed["effects"][0]["attempts"]),
        (Some("post"), &json!(1))
    );
    let ready = world.get("/health/ready").await;
    assert!(ready["reasons"][0].as_str().unwrap().contains("given up"), "{ready}");
    let metrics = text_of(&world.url, "/metrics").await;
    for line in [
        "ees_reactor_given_up_streams{projection=\"refusing\"} 1.0",
        "ees_reactor_effects_failed{projection=\"refusing\"} 1.0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let client = world.client("none");
    client.post_json::<_, Value>("/projections/refusing/retry", &json!({"stream_id": "a"})).await.unwrap();
    let again = async {
        while world.get("/projections/refusing/effects").await["effects"][0]["attempts"] != 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.unwrap();
    waits("given_up_streams", 1).await;
    let discard = "/projections/refusing/effects/discard";
    let why = world.refused(discard, json!({"stream_id": "a", "changeset_id": 1, "reason": " "})).await;
    assert!(why.contains("reason"), "{why}");
    world.refused(discard, json!({"stream_id": "a", "changeset_id": 7, "reason": "gone"})).await;
    let elsewhere = "/projections/nobody/effects/discard";
    let why = world.refused(elsewhere, json!({"stream_id": "a", "changeset_id": 7, "reason": "gone"})).await;
    assert!(why.contains("\"nobody\""), "{why}");
    let body = json!({"stream_id": "a", "changeset_id": 1, "reason": "gone"});
    let status: Value = client.post_json(discard, &body).await.unwrap();
    assert_eq!((&status["parked_streams"], &status["given_up_streams"]), (&json!(0), &json!(0)));
    assert_eq!(world.get("/projections/refusing/effects?state=discarded").await["effects"][0]["attempts"], 2);
    world.refused_get("/projections/refusing/effects?state=lost").await;
}

/// Sets a timer for each event, due far in the future.
struct Reminding;

impl Reactor for Reminding {
    type Event = Value;
    fn name(&self) -> &str {
        "reminding"
    }
    async fn react(&self, cause: Cause<'_, Value>) -> Result<(), BoxError> {
        let day = Duration::from_secs(24 * 60 * 60);
        cause.at(cause.timestamp() + day, "remind", &json!({"of": cause.event_id})).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_are_listed_and_cancelled() {
    let store = Arc::new(store::Store::new());
    let mut projector = Projector::new(store.clone());
    let settings = reactor::Settings { start: reactor::Start::Beginning, ..reactor::Settings::default() };
    projector.reactor(Reminding, memory::Database::new(), settings).unwrap();
    let world = World::of(store, projector.start(), None).await;
    world.commit("a").await;
    let last = world.commit("b").await;
    world.get(&format!("/projections/reminding?min_checkpoint={last}&timeout=20")).await;

    let listed = world.get("/projections/reminding/timers").await;
    let streams: Vec<_> =
        listed["timers"].as_array().unwrap().iter().map(|timer| &timer["stream_id"]).collect();
    assert_eq!(streams, ["a", "b"]);
    let of_b = world.get("/projections/reminding/timers?stream_id=b&limit=7").await["timers"][0].clone();
    assert_eq!(
        (&of_b["key"], &of_b["payload"], &of_b["attempts"]),
        (&json!("remind"), &json!({"of": 1}), &json!(0))
    );
    assert_eq!(of_b["due"], of_b["next_at"]);
    let why = world.refused_get("/projections/reminding/timers?limit=0").await;
    assert!(why.contains("limit"), "{why}");

    let (cancel, client) = ("/projections/reminding/timers/cancel", world.client("none"));
    let body =
        |stream: &str, key: &str, reason: &str| json!({"stream_id": stream, "key": key, "reason": reason});
    let why = world.refused(cancel, body("b", "remind", "")).await;
    assert!(why.contains("reason"), "{why}");
    client.post_json::<_, Value>(cancel, &body("b", "remind", "gone")).await.unwrap();
    for body in [body("b", "remind", "again"), body("a", "other", "none")] {
        let why = world.refused(cancel, body).await;
        assert!(why.contains("has no timer"), "{why}");
    }
    assert_eq!(world.get("/projections/reminding/timers").await["timers"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/projections/reminding/audit").await["audit"][0]["reason"], "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_needs_read_and_steering_needs_admin() {
    let world = World::new(Some("read:reader,admin:boss,commit:writer")).await;
    let (reader, boss, writer) = (world.client("reader"), world.client("boss"), world.client("writer"));
    reader.get_json::<Value>("/projections").await.unwrap();
    assert!(matches!(
        writer.get_json::<Value>("/projections").await.map_err(Error::from),
        Err(Error::Forbidden(_))
    ));
    let pause = "/projections/pausing/pause";
    assert!(matches!(
        reader.post_json::<_, Value>(pause, &json!({})).await.map_err(Error::from),
        Err(Error::Forbidden(_))
    ));
    boss.post_json::<_, Value>(pause, &json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_each_projection_has_a_history() {
    let store = Arc::new(store::Store::new());
    let mut projector = Projector::new(store.clone());
    let sound = Fragile { name: "sound", broken: Arc::default() };
    projector.projection(sound, memory::Database::new(), Settings::default()).unwrap();
    let every = Duration::from_millis(10);
    let world = World::built(store, projector.start(), |api| api.with_history(every)).await;
    let checkpoint = world.commit("a").await;
    world.get(&format!("/projections/sound?min_checkpoint={checkpoint}&timeout=20")).await;
    let sampled = async {
        loop {
            let told = world.get("/history?metric=ees_projection_checkpoint&of=sound").await;
            let values = told["series"][0]["values"].as_array().cloned().unwrap_or_default();
            if values.last() == Some(&json!(1.0)) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), sampled).await.unwrap();
    assert_eq!(told["series"][0]["label"], "projection");
    let all = world.get("/history?of=sound").await;
    assert!(
        all["series"].as_array().unwrap().iter().any(|it| it["metric"] == "ees_projection_lag_seconds"),
        "{all}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_has_the_routes() {
    let world = World::new(None).await;
    let description = world.get("/openapi.json").await;
    assert!(description["paths"]["/projections/{name}/skip"]["post"].is_object());
    assert!(description["components"]["schemas"]["Status"]["properties"]["lag_seconds"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_follows_a_store_elsewhere() {
    let world = World::new(None).await;
    let mut projector = Projector::new(Arc::new(world.client("none")));
    let remote = Fragile { name: "remote", broken: Arc::default() };
    projector.projection(remote, memory::Database::new(), Settings::default()).unwrap();
    let running = projector.start();
    for n in 1..=20_u64 {
        let stream: StreamId = format!("s{n}").parse().unwrap();
        world.commit(stream.as_str()).await;
        let applied = running.handle().when_applied("remote", &stream, 1.into(), Duration::from_secs(20));
        applied.await.unwrap();
    }
    running.shut_down().await;
}

async fn text_of(url: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_process_serves_its_projections_and_nothing_else_in_one_line() {
    let store = Arc::new(store::Store::new());
    let mut projector = Projector::new(store.clone());
    let sound = Fragile { name: "sound", broken: Arc::default() };
    projector.projection(sound, memory::Database::new(), Settings::default()).unwrap();
    let running = projector.start();
    let address = running.serve("127.0.0.1:0").await.unwrap();
    let client = Client::builder(&format!("http://{address}")).retries(0).build().unwrap();

    let all: Value = client.get_json("/projections").await.unwrap();
    assert_eq!(all["projections"][0]["name"], "sound");
    let paused: Value =
        client.post_json("/projections/sound/pause", &json!({"reason": "lunch"})).await.unwrap();
    assert_eq!(paused["state"], "paused");
    let health: Value = client.get_json("/health/ready").await.unwrap();
    assert_eq!(health["status"], "degraded");
    let metrics = client.get_json::<Value>("/metrics").await.unwrap_err().to_string();
    assert!(metrics.contains("does not answer as ees does"), "text, not JSON: {metrics}");
    for path in [
        "/changesets",
        "/streams",
        "/streams/a/events",
        "/openapi.json",
        "/docs",
        "/version",
        "/projectionsx",
    ] {
        let nothing = client.get_json::<Value>(path).await.unwrap_err();
        assert!(nothing.to_string().ends_with(&format!("Invalid endpoint, for {path}")), "{nothing}");
    }
    let events = json!({"events": [1]});
    let refused = client.post_json::<_, Value>("/streams/a", &events).await.unwrap_err();
    assert!(refused.to_string().ends_with("Invalid endpoint, for /streams/a"), "{refused}");

    let open = running.serve("0.0.0.0:0").await.unwrap_err().to_string();
    assert!(open.contains("serve_with_keys"), "{open}");
    let keys = ApiKeys::parse("read:reader,admin:operator").unwrap();
    let address = running.serve_with_keys("127.0.0.1:0", keys).await.unwrap();
    let with =
        |key: &str| Client::builder(&format!("http://{address}")).api_key(key).retries(0).build().unwrap();
    assert!(with("none").get_json::<Value>("/projections").await.is_err());
    with("reader").get_json::<Value>("/projections").await.unwrap();
    assert!(with("reader").post_json::<_, Value>("/projections/sound/resume", &json!({})).await.is_err());
    with("operator").post_json::<_, Value>("/projections/sound/resume", &json!({})).await.unwrap();

    running.shut_down().await;
    assert!(with("reader").get_json::<Value>("/projections").await.is_err(), "it ends with the projections");
}

/// Every operation on projections that the description has: its method and a path for it.
async fn operations(world: &World) -> Vec<(String, String)> {
    let api = world.get("/openapi.json").await;
    let paths = api["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/projections"));
    let of_path = |(path, operations): (&String, &Value)| {
        let path = path.replace("{name}", "pausing");
        let methods = operations.as_object().unwrap().keys().cloned();
        methods.map(move |method| (method, path.clone())).collect::<Vec<_>>()
    };
    let operations: Vec<_> = paths.flat_map(of_path).collect();
    assert!(operations.len() > 15, "{operations:?}");
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_refuses_what_it_does_not_know() {
    let world = World::new(None).await;
    for (method, path) in operations(&world).await {
        let with_query = format!("{path}?nonsense=1");
        let refused = match method.as_str() {
            "get" => world.refused_get(&with_query).await,
            _ => {
                let body = world.refused(&path, json!({"nonsense": 1})).await;
                assert!(body.contains("unknown member \"nonsense\""), "{path}: {body}");
                world.refused(&with_query, json!({})).await
            }
        };
        assert!(refused.contains("\"nonsense\" is unknown here"), "{method} {path}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_an_object_and_a_reason_is_short() {
    let world = World::new(None).await;
    for (path, body, told) in [
        ("checkpoint", json!([50, 10, "x"]), "must be a JSON object"),
        ("pause", json!(["x"]), "must be a JSON object"),
        ("pause", json!({"reason": "x".repeat(1_025)}), "has 1025 characters; the limit is 1024"),
        ("skip", json!({"checkpoint": 0, "reason": "x".repeat(1_025)}), "the limit is 1024"),
        ("pause", json!({"reason": "x".repeat(70_000)}), "the server's limit is 65536"),
        ("rebuild", json!({"side_by_sid": true}), "Did you mean \"side_by_side\"?"),
    ] {
        let refused = world.refused(&format!("/projections/pausing/{path}"), body).await;
        assert!(refused.contains(told), "{path}: {refused}");
    }
    assert_eq!(world.get("/projections/pausing/audit").await, json!({"audit": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_all_projections_comes_in_one_list_the_newest_first() {
    let world = World::new(None).await;
    assert_eq!(world.get("/audit").await, json!({"audit": []}));
    let client = world.client("none");
    let done = [("pausing", "pause"), ("parking", "pause"), ("pausing", "resume"), ("parking", "resume")];
    for (number, (name, action)) in done.iter().enumerate() {
        let why = json!({"reason": number.to_string()});
        client.post_json::<_, Value>(&format!("/projections/{name}/{action}"), &why).await.unwrap();
    }
    let (mut from, mut read) = (0, Vec::new());
    loop {
        let page = world.get(&format!("/audit?limit=3&skip={from}")).await;
        read.extend(page["audit"].as_array().unwrap().iter().cloned());
        match page["next"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(from, 3);
    let told: Vec<_> =
        read.iter().map(|it| (it["projection"].as_str().unwrap(), it["action"].as_str().unwrap())).collect();
    assert_eq!(told, done.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(read[0]["reason"], "3");
    for wrong in ["limit=0", "skip=1001", "skip=x"] {
        world.refused_get(&format!("/audit?{wrong}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_comes_in_pages() {
    let world = World::new(None).await;
    let client = world.client("none");
    for at in 0..5 {
        let body = json!({"reason": at.to_string()});
        client.post_json::<_, Value>("/projections/parking/pause", &body).await.unwrap();
    }
    let mut reasons = Vec::new();
    let mut skip = Some(json!(0));
    while let Some(from) = skip {
        let page = world.get(&format!("/projections/parking/audit?limit=2&skip={from}")).await;
        let entries = page["audit"].as_array().unwrap();
        assert!((1..=2).contains(&entries.len()), "{page}");
        reasons.extend(entries.iter().map(|entry| entry["reason"].as_str().unwrap().to_owned()));
        skip = page.get("next").cloned();
    }
    assert_eq!(reasons, ["4", "3", "2", "1", "0"]);
    for wrong in ["limit=0", "limit=x", "skip=-1", "skip=1001"] {
        world.refused_get(&format!("/projections/parking/audit?{wrong}")).await;
    }
}
