//! A running shop with its own databases, a webhook receiver, and a client that knows the routes only.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use axum::routing::post;
use axum::{Json, Router};
use ees_projector::{Clock, Running};
use ees_store::{ChangesetLog, Checkpoint, EventStore, StreamQuery};
use ees_test_aws::LocalAws;
use ees_test_postgres::TestDatabase;
use serde_json::{Value, json};
use shop::api::app;
use shop::assembly::Shop;
use shop::place::{Opened, Place};
use shop::sold_out::Webhook;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// A running shop.
pub(crate) struct Open {
    pub(crate) shop: Shop,
    pub(crate) running: Running,
    pub(crate) told: Told,
    pub(crate) clock: Clock,
    pub(crate) kept: Kept,
}

/// What must live as long as the shop.
pub(crate) type Kept = Box<dyn Any + Send + Sync>;

pub(crate) async fn sqlite() -> Open {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Sqlite(folder.path().join("log.db")).open().await.unwrap();
    open(place, Box::new(folder)).await
}

pub(crate) async fn postgres() -> Open {
    let database = TestDatabase::new().await;
    let place = database.url().parse::<Place>().unwrap().open().await.unwrap();
    open(place, Box::new(database)).await
}

pub(crate) async fn dynamodb() -> Open {
    let account = LocalAws::account().await;
    open(Opened::in_dynamodb(&account.sdk_config(), "shop").await.unwrap(), Box::new(account)).await
}

pub(crate) async fn open(place: Opened, kept: Kept) -> Open {
    let (told, clock) = (Told::listening().await, Clock::stopped());
    let shop = Shop::new(place, Some(told.webhook.clone())).with_clock(clock.clone());
    let running = shop.start().unwrap();
    Open { shop, running, told, clock, kept }
}

impl Open {
    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        post_to(&self.shop, path, body, None).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        call(&self.shop, Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn restock(&self, product: &str, count: u32) {
        let (status, body) =
            self.post(&format!("/products/{product}/restock"), json!({ "count": count })).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Reserves an item for one buyer. Returns the status code.
    pub(crate) async fn reserve(&self, product: &str) -> u16 {
        self.post(&format!("/products/{product}/reserve"), json!({ "buyer": "ada" })).await.0
    }

    /// Waits until the list is as wanted.
    pub(crate) async fn when_listed(&self, path: &str, wanted: Value) {
        eventually(async || self.get(path).await.1, |found| *found == wanted).await;
    }

    /// Waits for a purchase order, and returns its events.
    pub(crate) async fn ordered(&self, order: &str) -> Vec<Value> {
        let query = StreamQuery::all(order.parse().unwrap());
        let store: &dyn EventStore = &*self.shop.place.store;
        let page = eventually(async || store.read_stream(query.clone()).await.ok(), Option::is_some).await;
        let changesets = page.unwrap().changesets;
        changesets
            .iter()
            .flat_map(|it| it.events.iter().unwrap())
            .map(|it| serde_json::from_str(it).unwrap())
            .collect()
    }

    /// The end of the log.
    pub(crate) async fn head(&self) -> Checkpoint {
        let log: &dyn ChangesetLog = &*self.shop.place.log;
        log.head().await.unwrap().checkpoint
    }

    pub(crate) async fn close(self) {
        self.running.shut_down().await;
        drop((self.shop, self.kept));
    }
}

pub(crate) async fn post_to(shop: &Shop, path: &str, body: Value, key: Option<&str>) -> (u16, Value) {
    let mut request = Request::post(path).header("Content-Type", "application/json");
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    call(shop, request.body(body.to_string().into()).unwrap()).await
}

async fn call(shop: &Shop, request: Request<Body>) -> (u16, Value) {
    let response = app(shop.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// The receiver of the webhook.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) webhook: Webhook,
    messages: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Told {
    async fn listening() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sold-out", listener.local_addr().unwrap());
        let told = Self { webhook: Webhook { url, secret: None }, messages: Arc::default() };
        let messages = told.messages.clone();
        let listen = move |headers: HeaderMap, Json(body): Json<Value>| async move {
            let key = headers["Idempotency-Key"].to_str().unwrap().to_owned();
            messages.lock().unwrap().push((key, body));
        };
        let router = Router::new().route("/sold-out", post(listen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        told
    }

    /// The streams that the calls so far were about, in order.
    pub(crate) fn of(&self) -> Vec<String> {
        let messages = self.messages.lock().unwrap();
        messages.iter().map(|(_, body)| body["stream_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for at least this number of calls.
    pub(crate) async fn when(&self, times: usize) -> Vec<String> {
        eventually(async || self.of(), |of| of.len() >= times).await
    }
}

/// Asks until the answer is right. When that takes too long, fails with the last answer.
async fn eventually<T: std::fmt::Debug>(ask: impl AsyncFn() -> T, is_right: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask().await;
        if is_right(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "still {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
