//! An endpoint for webhooks.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use ees_store::TraceContext;
use tokio::sync::mpsc;

/// An endpoint that tells which trace each call belongs to.
///
/// # Panics
/// When there is no port, or a call has no trace.
pub async fn endpoint() -> (String, mpsc::UnboundedReceiver<TraceContext>) {
    let (called, calls) = mpsc::unbounded_channel();
    let hook = async move |headers: HeaderMap| {
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let state = header("tracestate");
        let _ = called
            .send(TraceContext::from_headers(&header("traceparent").unwrap(), state.as_deref()).unwrap());
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", post(hook));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}
