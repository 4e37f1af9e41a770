//! A server with projections that fail in each way, and a browser on it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::reactor::{self, Cause, PermanentError, Reactor};
use ees_projector::sqlite::Database;
use ees_projector::{
    BoxError, Fold, Handle, OnFailure, Order, Parking, Projector, Recorded, Retry, Running, Settings, State,
    Status,
};
use ees_store::http::{Api, Server};
use ees_store::{Commit, Committed, EventStore as _, Events, Expectation, Json, SharedLog, sqlite};
use ees_tests::Checked;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::browser::{Browser, browse};

/// Longer than all retries take.
const LONG: Duration = Duration::from_secs(20);

/// The type of an event, if it has one.
fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap_or_default()
}

/// Counts the events of each stream.
struct Counted;

impl Fold for Counted {
    type Event = Value;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        "counted"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<u64>, _: Recorded<'_, Value>) -> Option<u64> {
        Some(row.unwrap_or(0) + 1)
    }
}

/// Fails at each event whose type begins with a word, with that type as the error.
pub(super) fn failing(
    name: &'static str,
    at: &'static str,
) -> Checked<impl Fn(&Value) -> Result<(), String> + Send + Sync> {
    let check = move |event: &Value| match kind(event) {
        kind if kind.starts_with(at) => Err(format!("can't apply: {kind}")),
        _ => Ok(()),
    };
    Checked { name, check }
}

/// Sends letters. It can't send those whose type begins with `undeliverable`, and those whose type is `later` it sends
/// in a day.
struct Letters;

impl Reactor for Letters {
    type Event = Value;

    fn name(&self) -> &str {
        "letters"
    }
    async fn react(&self, cause: Cause<'_, Value>) -> Result<(), BoxError> {
        let kind = kind(cause.event);
        if kind == "later" {
            let day = Duration::from_secs(24 * 60 * 60);
            return cause
                .at(cause.timestamp() + day, "letter", &serde_json::json!({"secret": "p4yload"}))
                .await;
        }
        let send = async || {
            if kind.starts_with("undeliverable") {
                return Err(BoxError::from(PermanentError::because(format!("no such address: {kind}"))));
            }
            Ok(serde_json::json!({"secret": "r3sult"}))
        };
        cause.effect("letter", send).await?;
        Ok(())
    }
}

/// The server.
pub(super) struct World {
    folder: TempDir,
    store: Arc<sqlite::Store>,
    running: Running,
    url: String,
    stop: oneshot::Sender<()>,
}

impl World {
    /// Starts a server. `orders` pauses at events `poison...`, `customers` parks at `bad...`, the reactor `letters` gives
    /// up at `undeliverable...`, and `counted` applies everything.
    pub(super) async fn start(configure: impl FnOnce(Api) -> Api) -> Self {
        let register = |projector: &mut Projector, folder: &Path| {
            let parks = Settings { on_failure: OnFailure::Park(Parking::default()), ..Self::settings() };
            let from_the_start =
                reactor::Settings { start: reactor::Start::Beginning, ..reactor::Settings::default() };
            let keeps = Settings { fingerprint: true, ..Self::settings() };
            projector.fold(Counted, Self::database(folder, "counted"), keeps).unwrap();
            Self::register(projector, folder, "orders", "poison");
            projector
                .projection(failing("customers", "bad"), Self::database(folder, "customers"), parks)
                .unwrap();
            projector.reactor(Letters, Self::database(folder, "letters"), from_the_start).unwrap();
        };
        Self::start_with(register, configure).await
    }

    fn settings() -> Settings {
        let delay = Duration::from_millis(1);
        Settings { retry: Retry { times: 1, delay_min: delay, delay_max: delay }, ..Settings::default() }
    }

    /// The file of one projection.
    pub(super) fn database(folder: &Path, projection: &str) -> Database {
        Database::open(folder.join(format!("{projection}.db"))).unwrap()
    }

    /// Adds a projection that pauses when it fails: at each event whose type begins with a word.
    pub(super) fn register(projector: &mut Projector, folder: &Path, name: &'static str, at: &'static str) {
        let database = Self::database(folder, name);
        projector.projection(failing(name, at), database, Self::settings()).unwrap();
    }

    /// Starts a server with these projections.
    pub(super) async fn start_with(
        register: impl FnOnce(&mut Projector, &Path),
        configure: impl FnOnce(Api) -> Api,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
        let log = SharedLog::from(store.clone());
        let mut projector = Projector::new(log.clone());
        register(&mut projector, folder.path());
        let running = projector.start();
        let api = ees_projector::http::install(Api::new(store.clone(), log), running.handle().clone());
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let router = configure(api).router();
        tokio::spawn(server.serve(router, async {
            let _ = stopped.await;
        }));
        Self { folder, store, running, url, stop }
    }

    /// Starts a server on which something fails in each way.
    pub(super) async fn with_faults(configure: impl FnOnce(Api) -> Api) -> Self {
        let world = Self::start(configure).await;
        let metadata = r#"{"correlation_id":"c-7","user":"ada"}"#;
        world.commit_with("account/1", 0, r#"[{"type":"opened","owner":"ada"}]"#, metadata).await;
        world
            .commit_with("order/7", 0, r#"[{"type":"poison","amount":12345678901234567890}]"#, metadata)
            .await;
        world.commit("customer/3", 0, r#"[{"type":"bad address"}]"#).await;
        world.commit("customer/4", 0, r#"[{"type":"undeliverable"}]"#).await;
        world.until("orders", |status| status.state == State::Paused).await;
        world.until("customers", |status| status.parked_streams == 1).await;
        world.until("letters", |status| status.given_up_streams == 1 && status.lag_changesets == 0).await;
        world.until("counted", |status| status.state == State::Following).await;
        world
    }

    /// Opens a browser on it, and ends both.
    pub(super) async fn browse(self, test: impl AsyncFnOnce(&Self, &Browser)) {
        browse(&self.url, async |browser| test(&self, browser).await).await;
        let _ = self.stop.send(());
        self.running.shut_down().await;
        self.folder.close().unwrap();
    }

    /// Appends a changeset.
    pub(super) async fn commit(&self, stream: &str, last: u64, events: &str) -> Committed {
        self.commit_with(stream, last, events, "{}").await
    }

    /// Appends a changeset with metadata.
    pub(super) async fn commit_with(
        &self,
        stream: &str,
        last: u64,
        events: &str,
        metadata: &str,
    ) -> Committed {
        let commit = Self::changeset(stream, last, events);
        self.store.commit(commit.with_metadata(Json::parse(metadata).unwrap()).unwrap()).await.unwrap()
    }

    /// A changeset to append.
    pub(super) fn changeset(stream: &str, last: u64, events: &str) -> Commit {
        let expectation =
            if last == 0 { Expectation::NewStream } else { Expectation::LastChangeset(last.into()) };
        Commit::new(stream.parse().unwrap(), expectation, Events::parse(events).unwrap())
    }

    /// The status of a projection, once it is as it should be.
    pub(super) async fn until(&self, name: &str, is_right: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + LONG;
        loop {
            let status = self.running.handle().status(name).await.unwrap();
            if is_right(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What operates its projections.
    pub(super) fn handle(&self) -> &Handle {
        self.running.handle()
    }

    /// The newest entry of a projection's audit: action and reason.
    pub(super) async fn last_audit(&self, name: &str) -> (String, String) {
        let entry = self.running.handle().audit(name, 1).await.unwrap().remove(0);
        (entry.action, entry.reason)
    }

    /// The number of changesets of a stream.
    pub(super) async fn stream(&self, id: &str) -> Value {
        let query = ees_store::StreamQuery::changesets(id.parse().unwrap(), 1.into(), None);
        let page = self.store.read_stream(query).await.unwrap();
        let events =
            page.changesets.iter().map(|changeset| changeset.events.as_json().unwrap().as_str().to_owned());
        Value::from(events.collect::<Vec<_>>())
    }
}
