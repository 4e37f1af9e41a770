//! Requests to the API.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use super::reference_json;
use crate::client::wire::OfStream;
use crate::{EventStore as _, StreamId, StreamQuery, http, memory};

thread_local! {
    /// The server of all requests of a thread: building a router takes longer than most requests do.
    static SERVER: Server = Server::new();
}

struct Server {
    runtime: Runtime,
    store: Arc<memory::Store>,
    router: Router,
}

impl Server {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        let store = Arc::new(memory::Store::new());
        let router = runtime.block_on(async { http::Api::new(store.clone(), store.clone()).router() });
        Self { runtime, store, router }
    }

    fn answer(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        self.runtime.block_on(async {
            let Ok(response) = self.router.clone().oneshot(request).await;
            let status = response.status();
            if response.headers().get("content-type").is_some_and(|it| it.as_bytes() == b"text/event-stream")
            {
                return (status, Vec::new());
            }
            (status, to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default().into())
        })
    }
}

/// No request is a fault of the server's. What is refused is told why, in JSON; what is stored is read by the client as
/// it is in the store. The input: method and target, headers, an empty line, a body.
pub fn request(data: &[u8]) {
    let Some(request) = read(data) else { return };
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let (status, body) = SERVER.with(|server| server.answer(request));
    assert!(!status.is_server_error(), "{method} {uri} is answered with {status}: {}", body.escape_ascii());
    if status.is_client_error() && method != Method::HEAD {
        let told = str::from_utf8(&body).ok().and_then(|text| reference_json::read(text).ok());
        assert!(told.is_some(), "{method} {uri} is answered with {status}: {}", body.escape_ascii());
    }
    if method == Method::POST && status.is_success() {
        let segment = uri.path().strip_prefix("/streams/").and_then(http::path::decode);
        if let Some(stream_id) = segment.and_then(|text| StreamId::new(&text).ok()) {
            SERVER.with(|server| is_read(server, &stream_id));
        }
    }
}

fn read(data: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[][..]),
    };
    let mut lines = str::from_utf8(head).ok()?.split('\n');
    let (method, target) = lines.next()?.split_once(' ')?;
    let uri: Uri = target.parse().ok()?;
    // Waits are not for a test that waits for each answer.
    if uri.query().is_some_and(|query| ["wait", "timeout", "follow"].iter().any(|it| query.contains(it))) {
        return None;
    }
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = method.parse().ok()?;
    *request.uri_mut() = uri;
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request.headers_mut().append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
    }
    Some(request)
}

/// The client reads what is in the store, also when it is indented.
fn is_read(server: &Server, stream_id: &StreamId) {
    let stored = server.runtime.block_on(server.store.read_stream(StreamQuery::all(stream_id.clone())));
    let stored = stored.map(|page| page.changesets).unwrap_or_default();
    let path = format!(
        "/streams/{}/changesets?include=position",
        crate::client::transport::encoded(stream_id.as_str())
    );
    let Ok(uri) = path.parse::<Uri>() else { panic!("{path} is no path") };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    let (status, body) = server.answer(request);
    assert_eq!(status, StatusCode::OK);
    let Ok(Ok(page)) = serde_json::from_slice::<OfStream<'_>>(&body).map(|read| read.page(stream_id)) else {
        panic!("the client can't read {}", body.escape_ascii())
    };
    let read = stored.get(..page.changesets.len()).unwrap_or_default();
    assert_eq!(page.changesets, read);
    assert!(page.next.is_some() || read.len() == stored.len(), "there is more, and no page after this");
}
