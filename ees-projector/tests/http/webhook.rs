//! Events posted to a real receiver, which checks them and sometimes refuses.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::{Router, routing};
use ees_projector::reactor::{EffectQuery, EffectState, Settings, Start};
use ees_projector::webhook::{Delivery, HttpReactor, IDEMPOTENCY_KEY, SIGNATURE, verify};
use ees_projector::{Parking, Projector, Running, memory};
use ees_store::{Commit, EventStore, Events, Expectation, memory as store};
use serde_json::Value;

const SECRET: &str = "between us";

/// A receiver that answers what it is told to, in this order, and then 204.
#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
    got: Arc<Mutex<Vec<(String, Delivery)>>>,
    /// Of each answer, when.
    at: Arc<Mutex<Vec<Instant>>>,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    verify(SECRET, &header(SIGNATURE), body.as_bytes(), Duration::from_secs(60)).unwrap();
    assert_eq!(header("x-tenant"), "7");
    let delivery: Delivery = serde_json::from_str(&body).unwrap();
    receiver.got.lock().unwrap().push((header(IDEMPOTENCY_KEY), delivery));
    receiver.at.lock().unwrap().push(Instant::now());
    let mut answers = receiver.answers.lock().unwrap();
    let (status, retry_after) = if answers.is_empty() { (204, "") } else { answers.remove(0) };
    let mut headers = HeaderMap::new();
    if !retry_after.is_empty() {
        headers.insert("retry-after", retry_after.parse().unwrap());
    }
    (StatusCode::from_u16(status).unwrap(), headers)
}

impl Receiver {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", routing::post(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
    fn texts(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|(_, it)| it.event.as_str().to_owned()).collect()
    }
}

async fn commit(store: &store::Store, stream: &str, events: &str) {
    let events = Events::parse(events).unwrap();
    store.commit(Commit::new(stream.parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
}

fn start(store: &Arc<store::Store>, url: &str) -> Running {
    let hook = HttpReactor::<Value>::new("hook", url)
        .with_secret("an older one")
        .with_secret(SECRET)
        .with_header("x-tenant", "7")
        .when(|cause| cause.event["type"] == "sold_out");
    let soon = Duration::from_millis(10);
    let parking = Parking { retry_after_min: soon, retry_after_max: soon, ..Parking::default() };
    let settings = Settings { start: Start::Beginning, parking, ..Settings::default() };
    let mut projector = Projector::new(store.clone());
    projector.reactor(hook, memory::Database::new(), settings).unwrap();
    projector.start()
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_signed_and_under_a_key_of_its_own() {
    let (store, receiver) = (Arc::new(store::Store::new()), Receiver::default());
    commit(
        &store,
        "chair",
        r#"[{"type":"sold_out","n":1.0},{"type":"restocked"},{"type":"sold_out","n":2}]"#,
    )
    .await;
    let running = start(&store, &receiver.serve().await);
    until("both are posted", async || receiver.texts().len() == 2).await;
    assert_eq!(receiver.texts(), [r#"{"type":"sold_out","n":1.0}"#, r#"{"type":"sold_out","n":2}"#]);
    let got = receiver.got.lock().unwrap().clone();
    let (key, delivery) = &got[1];
    assert_eq!((key, delivery.reactor.as_str(), delivery.event_id.get()), (&delivery.id, "hook", 3));
    assert_eq!((delivery.stream_id.as_str(), delivery.changeset_id.get()), ("chair", 1));
    assert_ne!(got[0].0, got[1].0);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_posted_again_under_the_same_key_and_not_too_early() {
    let (store, receiver) = (Arc::new(store::Store::new()), Receiver::default());
    receiver.answers.lock().unwrap().extend([(500, ""), (503, "1"), (429, "")]);
    commit(&store, "chair", r#"[{"type":"sold_out"}]"#).await;
    let running = start(&store, &receiver.serve().await);
    until("it got through", async || receiver.texts().len() == 4).await;
    let got = receiver.got.lock().unwrap().clone();
    assert!(got.iter().all(|(key, delivery)| (key, delivery) == (&got[0].0, &got[0].1)));
    let at = receiver.at.lock().unwrap().clone();
    assert!(at[2] - at[1] >= Duration::from_secs(1), "{:?}", at[2] - at[1]);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_waits_for_an_operator_and_holds_up_no_other() {
    let (store, receiver) = (Arc::new(store::Store::new()), Receiver::default());
    receiver.answers.lock().unwrap().push((422, ""));
    commit(&store, "chair", r#"[{"type":"sold_out"}]"#).await;
    commit(&store, "table", r#"[{"type":"sold_out"}]"#).await;
    let running = start(&store, &receiver.serve().await);
    let handle = running.handle();
    let given_up = async || handle.status("hook").await.unwrap().given_up_streams == 1;
    until("it is given up", given_up).await;
    until("the other goes on", async || receiver.texts().len() == 2).await;
    let parked = EffectQuery { state: Some(EffectState::GivenUp), ..EffectQuery::default() };
    let parked = handle.effects("hook", parked).await.unwrap();
    assert!(parked[0].error.as_ref().unwrap().contains("422"), "{parked:?}");
    handle.retry_parked("hook", None, "they have mended it").await.unwrap();
    until("it got through", async || handle.status("hook").await.unwrap().parked_streams == 0).await;
    assert_eq!(receiver.texts().len(), 3);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_it_is_tried_again() {
    let store = Arc::new(store::Store::new());
    commit(&store, "chair", r#"[{"type":"sold_out"}]"#).await;
    let running = start(&store, "http://127.0.0.1:9/");
    let failed = async || running.handle().status("hook").await.unwrap().effects.unwrap().failed > 1;
    until("it is tried again", failed).await;
    assert_eq!(running.handle().status("hook").await.unwrap().given_up_streams, 0);
    running.shut_down().await;
}
