//! `ees timers`, against a server of a program with a reactor.

use std::sync::Arc;
use std::time::Duration;

use ees_projector::reactor::{self, Cause, Reactor, Start};
use ees_projector::{BoxError, Projector, http, memory};
use ees_store::http::{Api, Server};
use ees_store::{Commit, EventStore, Events, Expectation};
use ees_tests::{ees, run};
use serde_json::Value;

struct Reminding;

impl Reactor for Reminding {
    type Event = Value;
    fn name(&self) -> &str {
        "reminding"
    }
    async fn react(&self, cause: Cause<'_, Value>) -> Result<(), BoxError> {
        let day = Duration::from_secs(24 * 60 * 60);
        cause.at(cause.timestamp() + day, "unpaid", cause.event).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_are_listed_and_cancelled() {
    let store = Arc::new(ees_store::memory::Store::new());
    let mut projector = Projector::new(store.clone());
    let settings = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
    projector.reactor(Reminding, memory::Database::new(), settings).unwrap();
    let running = projector.start();
    let events = Events::parse(r#"[{"reserved":"lamp"}]"#).unwrap();
    let commit = Commit::new("product/lamp".parse().unwrap(), Expectation::NewStream, events);
    let committed = store.commit(commit).await.unwrap().checkpoint.unwrap();
    running.handle().when_reached("reminding", committed, Duration::from_secs(20)).await.unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let api = http::install(Api::new(store.clone(), store), running.handle().clone());
    tokio::spawn(server.serve(api.router(), std::future::pending()));

    let timers = async |arguments: &[&str]| {
        let arguments = [&["timers"], arguments, &["--url", &url]].concat();
        let mut command = ees(&arguments);
        tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
    };
    let listed = timers(&["list", "reminding"]).await.ok();
    assert!(
        listed.starts_with("DUE") && listed.contains("product/lamp") && listed.contains("unpaid"),
        "{listed}"
    );
    let as_json = timers(&["list", "reminding", "--stream", "product/lamp", "--json"]).await.json();
    let timer = &as_json[0]["timers"][0];
    assert_eq!((&timer["key"], &timer["payload"]["reserved"]), (&"unpaid".into(), &"lamp".into()));
    assert_eq!(timers(&["list", "reminding", "--stream", "other"]).await.ok(), "no timers\n");

    let cancel = ["cancel", "reminding", "product/lamp", "unpaid", "--reason", "paid by phone"];
    timers(&cancel).await.ok();
    assert_eq!(timers(&["list", "reminding"]).await.ok(), "no timers\n");
    let said = timers(&cancel).await.failed(5);
    assert!(said.contains("has no timer \"unpaid\""), "{said}");
    timers(&cancel[..4]).await.failed(2);
    running.shut_down().await;
}
