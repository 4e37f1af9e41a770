//! The hot paths.

use std::future::Future;
use std::hint::black_box;
use std::path::PathBuf;
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
    /// Writes to a folder what the path reads, in a process that nobody counts: what is prepared costs now more and now
    /// less, and would blur what the path costs.
    pub(crate) prepare: Option<fn(PathBuf) -> Run>,
    /// Runs the path this many times, in the folder.
    pub(crate) run: fn(PathBuf, u64) -> Run,
}

pub(crate) type Run = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) const PATHS: [Path; 6] = [
    path("parse", "changeset", CHANGESETS, |_, runs| Box::pin(parse(runs))),
    path("append", "changeset", CHANGESETS, |folder, runs| Box::pin(append(folder, runs))),
    Path {
        prepare: Some(|folder| Box::pin(append(folder, 1))),
        ..path("enumerate", "changeset", CHANGESETS, |folder, runs| Box::pin(read_all(folder, runs)))
    },
    path("post", "request", CHANGESETS, |_, runs| Box::pin(post(runs))),
    path("page", "changeset", CHANGESETS, |_, runs| Box::pin(page(runs))),
    path("rebuild", "event", CHANGESETS * EVENTS_AN_APPEND, |folder, runs| Box::pin(rebuild(folder, runs))),
];

const fn path(name: &'static str, unit: &'static str, units: u64, run: fn(PathBuf, u64) -> Run) -> Path {
    Path { name, unit, units, prepare: None, run }
}

/// The bodies of commits become events.
async fn parse(runs: u64) {
    let bodies: Vec<_> = (0..CHANGESETS).map(Workload::body).collect();
    for body in (0..runs).flat_map(|_| &bodies) {
        black_box(Events::parse(black_box(body)).unwrap());
    }
}

/// Commits go to an embedded log, a group at a time.
async fn append(folder: PathBuf, runs: u64) {
    let store = sqlite::Store::open(folder.join("log.db")).unwrap();
    fill(&store, runs * CHANGESETS).await;
}

/// The log is read page by page.
async fn read_all(folder: PathBuf, runs: u64) {
    let store = sqlite::Store::open(folder.join("log.db")).unwrap();
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
async fn rebuild(folder: PathBuf, runs: u64) {
    let store = Arc::new(memory::Store::new());
    let end = fill(&*store, CHANGESETS).await;
    for run in 0..runs {
        let file = folder.join(format!("read-{run}.db"));
        let database = ees_projector::sqlite::Database::open(file).unwrap();
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
