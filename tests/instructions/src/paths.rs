//! The hot paths.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use ees_projector::{Projector, Settings};
use ees_store::http::Api;
use ees_store::{Checkpoint, EventStore, Events, memory, sqlite};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::read::{Balances, catch_up, enumerate};
use crate::workload::{EVENTS_AN_APPEND, Workload};

/// Changesets of a run.
const CHANGESETS: u64 = 2_000;
/// Commits of a group.
const GROUP: u64 = 50;

const WORKLOAD: Workload = Workload { appends: CHANGESETS, streams: 400, first_stream: 0 };

/// What is counted.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    /// What one run works on, and how many of them.
    pub(crate) unit: &'static str,
    pub(crate) units: u64,
    /// Prepares, and then runs so many times.
    pub(crate) run: fn(u64) -> Pin<Box<dyn Future<Output = ()>>>,
}

pub(crate) const PATHS: [Path; 6] = [
    Path { name: "parse", unit: "changeset", units: CHANGESETS, run: |runs| Box::pin(parse(runs)) },
    Path { name: "append", unit: "changeset", units: CHANGESETS, run: |runs| Box::pin(append(runs)) },
    Path { name: "enumerate", unit: "changeset", units: CHANGESETS, run: |runs| Box::pin(read_all(runs)) },
    Path { name: "post", unit: "request", units: CHANGESETS, run: |runs| Box::pin(post(runs)) },
    Path { name: "page", unit: "changeset", units: CHANGESETS, run: |runs| Box::pin(page(runs)) },
    Path {
        name: "rebuild",
        unit: "event",
        units: CHANGESETS * EVENTS_AN_APPEND,
        run: |runs| Box::pin(rebuild(runs)),
    },
];

/// The bodies of commits become events.
async fn parse(runs: u64) {
    let bodies: Vec<_> = (0..CHANGESETS).map(Workload::body).collect();
    for body in (0..runs).flat_map(|_| &bodies) {
        black_box(Events::parse(black_box(body)).unwrap());
    }
}

/// Commits go to an embedded log, a group at a time.
async fn append(runs: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite::Store::open(folder.path().join("log.db")).unwrap();
    fill(&store, runs * CHANGESETS).await;
}

/// The log is read page by page.
async fn read_all(runs: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite::Store::open(folder.path().join("log.db")).unwrap();
    fill(&store, CHANGESETS).await;
    for _ in 0..runs {
        let read = enumerate(&store, 1_000).await;
        assert_eq!(read.events, WORKLOAD.events());
    }
}

/// Commits come by HTTP, without a network.
async fn post(runs: u64) {
    let store = Arc::new(memory::Store::new());
    let router = Api::new(store.clone(), store).router();
    for n in 0..runs * CHANGESETS {
        let (stream, last) = WORKLOAD.stream(n);
        let body = format!(r#"{{"events":{},"metadata":{{}}}}"#, Workload::body(n));
        let post = Request::post(format!("/streams/{stream}?expected_last_changeset={last}"));
        let post = post.header("Host", "localhost").header("Content-Type", "application/json");
        let answer = router.clone().oneshot(post.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        black_box(answer.into_body().collect().await.unwrap());
    }
}

/// Pages of the log leave by HTTP, without a network.
async fn page(runs: u64) {
    let store = Arc::new(memory::Store::new());
    fill(&*store, CHANGESETS).await;
    let router = Api::new(store.clone(), store).router();
    for _ in 0..runs {
        for from in (1..=CHANGESETS).step_by(1_000) {
            let get =
                Request::get(format!("/changesets?checkpoint={from}&limit=1000")).header("Host", "localhost");
            let answer = router.clone().oneshot(get.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            black_box(answer.into_body().collect().await.unwrap());
        }
    }
}

/// A fold onto columns reads the whole log.
async fn rebuild(runs: u64) {
    let store = Arc::new(memory::Store::new());
    let end = fill(&*store, CHANGESETS).await;
    for _ in 0..runs {
        let folder = tempfile::tempdir().unwrap();
        let database = ees_projector::sqlite::Database::open(folder.path().join("read.db")).unwrap();
        let mut projector = Projector::new(store.clone());
        projector.fold(Balances { columns: true }, database, Settings::default()).unwrap();
        catch_up(projector, "balances", end).await;
    }
}

/// Appends changesets, and returns the end of the log.
async fn fill(store: &dyn EventStore, changesets: u64) -> Checkpoint {
    let mut end = Checkpoint::START;
    for first in (0..changesets).step_by(GROUP as usize) {
        let commits = (first..first + GROUP).map(|n| WORKLOAD.commit(n)).collect();
        for committed in store.commit_in_order(commits).await {
            end = committed.unwrap().checkpoint.unwrap().next();
        }
    }
    end
}
