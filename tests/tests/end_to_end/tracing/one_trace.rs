//! From a command to the webhook that is called because of it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::routing::post;
use ees_aggregate::{Aggregate, Repository};
use ees_projector::database::{Database, FoldRows};
use ees_projector::reactor::{self, Start};
use ees_projector::webhook::HttpReactor;
use ees_projector::{Fold, Projector, Recorded, Settings, memory};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_store::{
    ChangesetLog, Commit, EventStore, Events, Expectation, SharedLog, Timestamp, TraceContext, postgres,
    sqlite,
};
use ees_test_postgres::TestDatabase;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _, Tracer as _};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use tokio::sync::mpsc;

use super::collector::{hex, text};
use super::in_process::{caller, collector};

/// Counts the events of each stream.
struct Counted(&'static str);

impl Fold for Counted {
    type Event = Value;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        self.0
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<u64>, _: Recorded<'_, Value>) -> Option<u64> {
        Some(row.unwrap_or(0) + 1)
    }
}

/// An endpoint that tells which trace each call belongs to.
async fn endpoint() -> (String, mpsc::UnboundedReceiver<TraceContext>) {
    let (called, calls) = mpsc::unbounded_channel();
    let hook = async move |headers: HeaderMap| {
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let state = header("tracestate");
        let _ = called
            .send(TraceContext::from_headers(&header("traceparent").unwrap(), state.as_deref()).unwrap());
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/hook", post(hook));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

/// Serves a store's API, and returns its URL.
async fn serve<S: EventStore + ChangesetLog>(store: &Arc<S>) -> String {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let router = Api::new(store.clone(), SharedLog::from(store.clone())).router();
    tokio::spawn(server.serve(router, std::future::pending()));
    url
}

fn parent(span: &Span) -> String {
    hex(&span.parent_span_id)
}

fn id(span: &Span) -> String {
    hex(&span.span_id)
}

fn links(span: &Span) -> Vec<String> {
    span.links.iter().map(|link| hex(&link.span_id)).collect()
}

async fn a_command_is_one_trace<S, D>(store: Arc<S>, database: D, system: &str)
where
    S: EventStore + ChangesetLog,
    D: Database + Clone,
    D::Tx: FoldRows,
{
    let (hook, mut calls) = endpoint().await;
    let mut projector = Projector::new(store.clone());
    projector.fold(Counted("counted"), database.clone(), Settings::default()).unwrap();
    let reactor = HttpReactor::<Value>::new("mailer", hook);
    let settings = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
    projector.reactor(reactor, database, settings).unwrap();
    let running = projector.start();
    let url = serve(&store).await;

    let (caller, collector) = (caller(true), collector());
    let request = reqwest::Client::new().post(format!("{url}/streams/account%2F1"));
    let request = caller.headers().fold(request, |request, (name, value)| request.header(name, value));
    let request = request.header("content-type", "application/json").header("Stream-Type", "account");
    let answer = request.body(r#"{"events": [{"type": "opened"}]}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let called = tokio::time::timeout(Duration::from_secs(30), calls.recv()).await.unwrap().unwrap();

    let span = |name| collector.span(caller.trace_id(), name);
    let request = span("POST /streams/{stream_id}").await;
    let commit = span("commit account").await;
    let group = span("group commit").await;
    let (apply, react) = (span("apply counted").await, span("react mailer").await);
    let (effect, post) = (span("webhook mailer").await, span("POST").await);
    running.shut_down().await;

    assert_eq!(parent(&request), caller.parent_id());
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(text(&request.attributes, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(parent(&commit), id(&request));
    assert_eq!(text(&commit.attributes, "db.system.name").as_deref(), Some(system));
    assert_eq!(text(&commit.attributes, "ees.checkpoint").as_deref(), Some("0"));
    assert_eq!((parent(&group), links(&group)), (id(&commit), vec![id(&commit)]));
    assert_eq!(links(&commit), [id(&group)]);
    for step in [&apply, &react] {
        assert_eq!((parent(step), links(step)), (id(&commit), vec![id(&commit)]), "{}", step.name);
        assert_eq!(step.kind(), SpanKind::Consumer);
    }
    assert_eq!(parent(&effect), id(&commit));
    assert_eq!((parent(&post), post.kind()), (id(&effect), SpanKind::Client));
    assert_eq!((called.trace_id(), called.parent_id()), (caller.trace_id(), &*id(&post)));
    assert_eq!(called.tracestate(), Some("vendor=1"));
    assert_eq!(collector.now().of(caller.trace_id()).count(), 7, "and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_one_trace_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    let database = ees_projector::sqlite::Database::open(folder.path().join("read.db")).unwrap();
    a_command_is_one_trace(store, database, "sqlite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_one_trace_on_postgresql() {
    let database = TestDatabase::new().await;
    let store = Arc::new(postgres::Store::connect(database.url()).await.unwrap());
    let read_models = ees_projector::postgres::Database::connect(database.url()).await.unwrap();
    a_command_is_one_trace(store, read_models, "postgresql").await;
}

fn commit(stream: &str) -> Commit {
    let opened = Events::parse(r#"[{"type": "opened"}]"#).unwrap();
    Commit::new(stream.parse().unwrap(), Expectation::NewStream, opened)
}

/// Applies the whole log, and returns when that is done.
async fn apply_all(store: &Arc<ees_store::memory::Store>, name: &'static str, settings: Settings) {
    let worker =
        ees_projector::OnDemand::fold(Counted(name), memory::Database::new(), store.clone(), settings);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    assert_eq!(worker.unwrap().drain_until(until).await, ees_projector::Drained::CaughtUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_one_span_with_a_link_to_each_commit_and_history_is_none() {
    let (collector, store) = (collector(), Arc::new(ees_store::memory::Store::new()));
    let traces: Vec<_> = (0..3).map(|_| caller(true)).collect();
    let hour_ago = Timestamp::from_micros(Timestamp::now().as_micros() - 3_600_000_000);
    let old = caller(true);
    store.commit(commit("old").with_recorded_at(hour_ago).with_trace(old.clone())).await.unwrap();
    store.commit(commit("untraced").with_trace(caller(false))).await.unwrap();
    for (number, trace) in traces.iter().enumerate() {
        store.commit(commit(&number.to_string()).with_trace(trace.clone())).await.unwrap();
    }
    apply_all(&store, "recent", Settings::default()).await;
    let step = collector.span(traces[0].trace_id(), "apply recent").await;
    let mut linked = Vec::new();
    for trace in &traces {
        linked.push(id(&collector.span(trace.trace_id(), "commit").await));
    }
    assert_eq!((parent(&step), links(&step)), (linked[0].clone(), linked));
    assert_eq!(text(&step.attributes, "messaging.batch.message_count").as_deref(), Some("5"));

    apply_all(&store, "all", Settings { trace_history: true, ..Settings::default() }).await;
    let step = collector.span(old.trace_id(), "apply all").await;
    assert_eq!(step.links.len(), 4);
    assert!(collector.now().of(old.trace_id()).all(|span| span.name != "apply recent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_not_sampled_makes_no_spans_and_its_trace_goes_on() {
    let (collector, store) = (collector(), Arc::new(ees_store::memory::Store::new()));
    let (hook, mut calls) = endpoint().await;
    let mut projector = Projector::new(store.clone());
    let settings = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
    let reactor = HttpReactor::<Value>::new("mailer", hook);
    projector.reactor(reactor, memory::Database::new(), settings).unwrap();
    projector.fold(Counted("counted"), memory::Database::new(), Settings::default()).unwrap();
    let running = projector.start();
    let client = Client::new(&serve(&store).await).unwrap();
    let unsampled = caller(false);
    client.commit(commit("a").with_trace(unsampled.clone())).await.unwrap();
    let called = tokio::time::timeout(Duration::from_secs(30), calls.recv()).await.unwrap().unwrap();
    assert_eq!(called, unsampled);
    // What comes later has arrived, so that this would have too.
    let sampled = caller(true);
    client.commit(commit("b").with_trace(sampled.clone())).await.unwrap();
    collector.span(sampled.trace_id(), "webhook mailer").await;
    running.shut_down().await;
    assert_eq!(collector.now().of(unsampled.trace_id()).count(), 0);
}

/// An account that can be opened, once.
#[derive(Default)]
struct Account {
    is_open: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("it is open already")]
struct OpenAlready;

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Event = Value;
    type Command = ();
    type Error = OpenAlready;

    fn apply(&mut self, _: &Value) {
        self.is_open = true;
    }
    fn decide(&self, (): &()) -> Result<Vec<Value>, OpenAlready> {
        if self.is_open { Err(OpenAlready) } else { Ok(vec![serde_json::json!({"type": "opened"})]) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_an_aggregate_and_the_call_of_a_client_belong_to_the_callers_span() {
    let (collector, store) = (collector(), Arc::new(ees_store::memory::Store::new()));
    let client = Client::new(&serve(&store).await).unwrap();
    let accounts = Repository::<Account>::new(Arc::new(client));
    let mine = opentelemetry::global::tracer("mine").start("mine");
    let mine = opentelemetry::Context::new().with_span(mine);
    let executing = async { accounts.execute(&"account/1".parse().unwrap(), &()).await.map(drop) };
    executing.with_context(mine.clone()).await.unwrap();
    let refused = async { accounts.execute(&"account/1".parse().unwrap(), &()).await.map(drop) };
    refused.with_context(mine.clone()).await.unwrap_err();
    let trace_id = mine.span().span_context().trace_id().to_string();
    mine.span().end();

    let span = |name| collector.span(&trace_id, name);
    let mine = span("mine").await;
    let posted = span("POST /streams/{stream_id}").await;
    let committed = span("commit account").await;
    assert_eq!(parent(&committed), id(&posted));
    let executed = collector
        .until(|received| {
            let executed: Vec<_> =
                received.of(&trace_id).filter(|span| span.name == "execute account").cloned().collect();
            (executed.len() == 2).then_some(executed)
        })
        .await;
    assert!(executed.iter().all(|span| parent(span) == id(&mine)));
    assert_eq!(parent(&posted), id(&executed[0]));
    assert_eq!(text(&executed[1].attributes, "error.type").as_deref(), Some("refused"));
}
