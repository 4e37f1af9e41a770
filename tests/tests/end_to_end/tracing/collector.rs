//! A collector: takes traces and metrics by OTLP over HTTP, and decodes them with the published types.

use std::net::TcpListener;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Router, serve};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::watch;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// What was received so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) spans: Vec<Span>,
    pub(crate) metrics: Vec<Metric>,
    /// The names of the services that sent them.
    pub(crate) services: Vec<String>,
    /// The headers of the last message.
    pub(crate) headers: HeaderMap,
}

/// Lives as long as the process.
#[derive(Clone)]
pub(crate) struct Collector {
    url: String,
    received: watch::Receiver<Received>,
}

type Receiver = watch::Sender<Received>;

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = watch::channel(Received::default());
        let router = Router::new().route("/v1/traces", post(traces)).route("/v1/metrics", post(metrics));
        let router = router.with_state(sender);
        std::thread::spawn(|| {
            runtime().block_on(async move {
                listener.set_nonblocking(true).unwrap();
                serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        Self { url, received }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What was received so far.
    pub(crate) fn now(&self) -> Received {
        self.received.borrow().clone()
    }

    /// Waits until something has arrived.
    pub(crate) async fn until<T>(&self, found: impl Fn(&Received) -> Option<T>) -> T {
        let mut received = self.received.clone();
        let waiting = received.wait_for(|received| found(received).is_some());
        match tokio::time::timeout(LONG, waiting).await {
            Ok(received) => found(&received.unwrap()).unwrap(),
            Err(_) => panic!("it did not arrive: {}", self.now().told()),
        }
    }

    /// Waits for a span, by its trace and its name.
    pub(crate) async fn span(&self, trace_id: &str, name: &str) -> Span {
        self.until(|received| received.of(trace_id).find(|span| span.name == name).cloned()).await
    }
}

impl Received {
    /// The spans of a trace.
    pub(crate) fn of(&self, trace_id: &str) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(move |span| hex(&span.trace_id) == trace_id)
    }

    fn told(&self) -> String {
        let spans = self.spans.iter().map(|span| format!("{} {}", hex(&span.trace_id), span.name));
        spans.collect::<Vec<_>>().join(", ")
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn traces(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Ok(message) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    receiver.send_modify(|received| {
        received.headers = headers;
        for spans in message.resource_spans {
            received.services.extend(spans.resource.and_then(|it| text(&it.attributes, "service.name")));
            received.spans.extend(spans.scope_spans.into_iter().flat_map(|it| it.spans));
        }
    });
    StatusCode::OK
}

async fn metrics(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Ok(message) = ExportMetricsServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    receiver.send_modify(|received| {
        received.headers = headers;
        for metrics in message.resource_metrics {
            received.services.extend(metrics.resource.and_then(|it| text(&it.attributes, "service.name")));
            received.metrics.extend(metrics.scope_metrics.into_iter().flat_map(|it| it.metrics));
        }
    });
    StatusCode::OK
}

/// The text of an attribute.
pub(crate) fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    match &attributes.iter().find(|attribute| attribute.key == name)?.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        _ => None,
    }
}

pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
