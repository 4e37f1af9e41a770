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
use ees_store::http::{Api, ApiKeys, Server};
use ees_store::{Commit, Error, EventStore, Events, Expectation, StreamId, memory as store};
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
        let mut api = Api::new(store.clone(), store.clone());
        if let Some(keys) = keys {
            api = api.with_keys(ApiKeys::parse(keys).unwrap());
        }
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
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
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
    let body = json!({"stream_id": "a", "changeset_id": 1, "reason": "gone"});
    let status: Value = client.post_json(discard, &body).await.unwrap();
    assert_eq!((&status["parked_streams"], &status["given_up_streams"]), (&json!(0), &json!(0)));
    assert_eq!(world.get("/projections/refusing/effects?state=discarded").await["effects"][0]["attempts"], 2);
    world.refused_get("/projections/refusing/effects?state=lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_needs_read_and_steering_needs_admin() {
    let world = World::new(Some("read:reader,admin:boss,commit:writer")).await;
    let (reader, boss, writer) = (world.client("reader"), world.client("boss"), world.client("writer"));
    reader.get_json::<Value>("/projections").await.unwrap();
    assert!(matches!(writer.get_json::<Value>("/projections").await, Err(Error::Forbidden(_))));
    let pause = "/projections/pausing/pause";
    assert!(matches!(reader.post_json::<_, Value>(pause, &json!({})).await, Err(Error::Forbidden(_))));
    boss.post_json::<_, Value>(pause, &json!({})).await.unwrap();
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
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
