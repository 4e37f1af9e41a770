//! The console before servers elsewhere: the page, and what it asks those servers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::endpoints::console::{self, ShownServer};
use super::hosts::{self, Hosts};
use super::keys::ApiKeys;
use super::{Banner, Closing, Limits, Problem, guard};
use crate::client::{Client, Forwarded};
use crate::{Error, Result};

/// What the page sends along that servers look at.
const SENT: [HeaderName; 5] = [
    ACCEPT,
    CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
];

/// What servers say besides the body. Neither cookies nor permissions for other sites come through.
const RETURNED: [HeaderName; 5] = [
    CONTENT_ENCODING,
    CONTENT_TYPE,
    RETRY_AFTER,
    HeaderName::from_static("ees-visible"),
    HeaderName::from_static("x-request-id"),
];

/// Operations may take as long as this before they are answered.
const OPERATION_MAX: Duration = Duration::from_secs(10 * 60);

/// Other calls may ask the server to wait as long as this.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The console before servers elsewhere, for a [`Server`](super::Server) on a loopback address.
///
/// It serves the page, and sends on what the page asks to these servers, with the key or the signature of their
/// [`Client`]s. So the page shows what they may see and offers what they may do.
///
/// Others that reach it could do so too. So every call needs the [key](Self::key), which is made at random, and it
/// answers to loopback names only.
///
/// ```no_run
/// use ees_store::client::Client;
/// use ees_store::http::{RemoteConsole, Server};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("https://events.example.com").api_key("secret").build()?;
/// let console = RemoteConsole::before([client]);
/// let server = Server::bind("127.0.0.1:0").await?;
/// println!("http://{}{}", server.local_addr()?, console.path());
/// server.serve(console.router(), std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
pub struct RemoteConsole {
    servers: Vec<Client>,
    key: String,
    banner: Option<Banner>,
}

impl RemoteConsole {
    /// The console before these servers. It shows the log and the streams of the first one, and the projections of
    /// all.
    pub fn before(servers: impl IntoIterator<Item = Client>) -> Self {
        let key = Uuid::new_v4().simple().to_string();
        Self { servers: servers.into_iter().collect(), key, banner: None }
    }

    /// Sets the banner. Default: none.
    #[must_use]
    pub fn with_banner(self, banner: Banner) -> Self {
        Self { banner: Some(banner), ..self }
    }

    /// The path of the page, with the key that it needs. The key is behind a `#`, so browsers don't send it to
    /// anyone; the page takes it out of the address.
    pub fn path(&self) -> String {
        format!("/console/#key={}", self.key)
    }

    /// Builds the router.
    pub fn router(self) -> Router {
        let Self { servers, key, banner } = self;
        let at = |number| if number == 0 { String::new() } else { format!("servers/{number}/") };
        let shown = servers.iter().enumerate();
        let shown =
            shown.map(|(number, client)| ShownServer { url: client.url().to_owned(), at: at(number) });
        let page = console::routes(banner, shown.collect());
        let relay = Arc::new(Relay { servers, key: ApiKeys::of_one(&key) });
        page.fallback(forward).layer(from_fn(admit)).with_state(relay)
    }
}

struct Relay {
    servers: Vec<Client>,
    key: ApiKeys,
}

impl Relay {
    /// The server that a path leads to, and the path and the query there.
    fn route<'a>(&self, uri: &'a Uri) -> Option<(&Client, &'a str)> {
        // What sends it on would resolve these, and ask for another path than this one.
        let is_dots =
            |segment: &str| matches!(&*percent_decode_str(segment).collect::<Vec<_>>(), b"." | b"..");
        if uri.path().split('/').any(is_dots) {
            return None;
        }
        let path = uri.path_and_query()?.as_str();
        let Some(rest) = path.strip_prefix("/servers/") else { return Some((self.servers.first()?, path)) };
        let at = rest.find('/')?;
        Some((self.servers.get(rest[..at].parse::<usize>().ok()?)?, &rest[at..]))
    }
}

/// Lets in who names this server by a loopback name: a page of another site would have to reach it under its own.
/// Everybody else gets the page, which holds no data but the addresses of the servers.
async fn admit(request: Request, next: Next) -> Response {
    let admitted = hosts::check_single(&request).and_then(|()| Hosts::Loopback.check(&request));
    if let Err(problem) = admitted {
        return problem.into_response();
    }
    match console::lead(request.method(), request.uri().path(), request.headers()) {
        Some(led) => led,
        None => next.run(request).await,
    }
}

/// Sends the request of a caller with the key on to its server, and the answer back, as it arrives.
async fn forward(
    State(relay): State<Arc<Relay>>,
    closing: Closing,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let key = guard::bearer(&parts.headers);
    key.and_then(|key| relay.key.pass(key)).ok_or_else(Problem::unauthorized)?;
    let (client, path) = relay.route(&parts.uri).ok_or_else(Problem::no_such_endpoint)?;
    let body = axum::body::to_bytes(body, Limits::default().body_bytes).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            "The body is larger than `ees console` sends on.",
        )
    })?;
    let wait = if parts.method == Method::GET { WAIT_MAX } else { OPERATION_MAX };
    let headers = only(&SENT, &parts.headers);
    let request = Forwarded { method: parts.method, path: path.to_owned(), headers, body };
    let answered =
        client.forward(request, wait).await.map_err(|error| unanswered(client.url(), error.error))?;

    let mut headers = only(&RETURNED, answered.headers());
    // A server is asked for data. Were it to answer with a page, that would do nothing here.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = answered.status();
    let parts = stream::try_unfold(answered, async |mut answered| {
        let part = answered.chunk().await?;
        Ok::<_, reqwest::Error>(part.map(|part| (part, answered)))
    });
    let parts = Box::pin(parts).take_until(Box::pin(async move { closing.closed().await }));
    Ok((status, headers, Body::from_stream(parts)).into_response())
}

fn only(names: &[HeaderName], given: &HeaderMap) -> HeaderMap {
    names.iter().filter_map(|name| Some((name.clone(), given.get(name)?.clone()))).collect()
}

/// Why a server did not answer the request. That it refuses the key is no answer to the page, whose key is another.
fn unanswered(url: &str, error: Error) -> Problem {
    let refused = |why: &str| format!("{url} refuses the key or the signature of `ees console`: {why}");
    match error {
        Error::Unauthorized => {
            let why = refused("start it with another EES_API_KEY");
            Problem::new(StatusCode::BAD_GATEWAY, "UNAUTHORIZED", why)
        }
        Error::Forbidden(why) => Problem::new(StatusCode::BAD_GATEWAY, "FORBIDDEN", refused(&why)),
        error => Problem::new(StatusCode::BAD_GATEWAY, "UNREACHABLE", error.to_string()),
    }
}
