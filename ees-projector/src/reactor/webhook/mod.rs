//! The reactor that posts events to a URL, and the signature by which a receiver trusts them.

mod answer;
mod body;
pub(crate) mod signature;

use std::marker::PhantomData;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use serde::de::DeserializeOwned;

use crate::error::BoxError;
use ees_store::spans::Span;

use crate::reactor::{Cause, PermanentError, Reactor};
use crate::spans;
use crate::subscription::Subscription;

pub use body::Delivery;
pub use signature::{NotSigned, SIGNATURE, verify};

/// The header with the idempotency key, by which a receiver recognizes a repetition.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The name of the effect in the ledger.
const EFFECT: &str = "webhook";
/// The longest time to open a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

type When<E> = Box<dyn Fn(&Cause<'_, E>) -> bool + Send + Sync>;

/// Posts each event to a URL, as JSON ([`Delivery`]), with an `Idempotency-Key`, and with a signature if it
/// has a secret.
///
/// # Guarantees
/// At least once, in the order of each stream. A repetition has the same key, and no other event or reactor
/// has that key.
///
/// # Answers
/// - 2xx: done. The ledger keeps the status.
/// - 408, 409, 425, 429, 5xx, no connection, or no answer within
///   [`effect_timeout`](crate::reactor::Settings::effect_timeout): the stream is parked and retried, in
///   order, and not before `Retry-After` (seconds or a date).
/// - Anything else, redirects included, is a permanent error: the receiver would refuse it again. The stream
///   is given up at once and waits for an operator.
///
/// ```
/// use ees_projector::webhook::HttpReactor;
///
/// #[derive(serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum Stock { SoldOut { product: String } }
///
/// let sold_out = HttpReactor::<Stock>::new("sold_out", "https://example.com/hooks/stock")
///     .with_secret("from the environment, not from the code")
///     .when(|cause| matches!(cause.event, Stock::SoldOut { .. }));
/// # let _ = sold_out;
/// ```
pub struct HttpReactor<E> {
    name: String,
    url: String,
    secrets: Vec<String>,
    headers: HeaderMap,
    subscription: Subscription,
    when: Option<When<E>>,
    client: Result<reqwest::Client, String>,
    events: PhantomData<fn() -> E>,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer from {origin}")]
struct NoAnswer {
    origin: String,
    #[source]
    error: reqwest::Error,
}

impl<E: DeserializeOwned + Send + Sync + 'static> HttpReactor<E> {
    /// Creates a reactor that posts to this URL. `https` requires the feature `tls`.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            // Shorter than servers keep an idle connection: a request on a connection that closes is lost.
            .pool_idle_timeout(Duration::from_secs(5))
            // A redirect could send an event and its signature to somebody else.
            .redirect(redirect::Policy::none())
            // Of an answer only its beginning is read.
            .no_gzip()
            .no_zstd()
            .build();
        Self {
            name: name.into(),
            url: url.into(),
            secrets: Vec::new(),
            headers: HeaderMap::new(),
            subscription: Subscription::default(),
            when: None,
            client: client.map_err(|e| e.to_string()),
            events: PhantomData,
        }
    }

    /// Signs each request (see [`verify`]). Call it several times to sign with several secrets: so a secret
    /// can be replaced while the receiver always knows one of them.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Adds a header to each request, such as `authorization`. An invalid header is left out and logged as an
    /// error.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(header), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.insert(header, value);
            }
            _ => tracing::error!(
                reactor = self.name,
                header = name,
                "the webhook's header is left out: its name or value is invalid"
            ),
        }
        self
    }

    /// Posts only the events for which `wanted` returns `true`. Default: all events.
    #[must_use]
    pub fn when(self, wanted: impl Fn(&Cause<'_, E>) -> bool + Send + Sync + 'static) -> Self {
        Self { when: Some(Box::new(wanted)), ..self }
    }

    /// Sets which changesets it posts, and how it reads their events. Default: all changesets.
    #[must_use]
    pub fn with_subscription(self, subscription: Subscription) -> Self {
        Self { subscription, ..self }
    }

    /// Sets the HTTP client, for a proxy or certificate authorities of your own. It should not follow
    /// redirects.
    #[must_use]
    pub fn with_client(self, client: reqwest::Client) -> Self {
        Self { client: Ok(client), ..self }
    }

    /// The whole URL may hold a key.
    fn no_answer(&self, error: reqwest::Error) -> NoAnswer {
        let origin = reqwest::Url::parse(&self.url).map(|url| url.origin().ascii_serialization());
        NoAnswer { origin: origin.unwrap_or_default(), error: error.without_url() }
    }

    async fn post(&self, cause: &Cause<'_, E>) -> Result<answer::Status, BoxError> {
        let client = self.client.as_ref().map_err(|e| PermanentError::because(e.clone()))?;
        let key = cause.key(EFFECT);
        let body = body::of(cause, &key, self.subscription.reading.upcasters())?;
        let mut request = client.post(&self.url).headers(self.headers.clone());
        request = request.header(CONTENT_TYPE, "application/json").header(IDEMPOTENCY_KEY, key);
        if !self.secrets.is_empty() {
            request = request.header(SIGNATURE, signature::sign(&self.secrets, &body)?);
        }
        let span = spans::webhook(&self.url);
        // Without a span of its own, the receiver still learns which trace the commit belongs to.
        if let Some(trace) = span.trace().or_else(Span::current).or_else(|| cause.trace().cloned()) {
            for (name, value) in trace.headers() {
                request = request.header(name, value);
            }
        }
        let sent = request.body(body).send().await;
        spans::sent(&span, sent.as_ref().map(|response| response.status().as_u16()));
        match sent {
            Ok(response) => answer::judge(response.status(), response.headers()),
            Err(error) if error.is_builder() => Err(PermanentError::because(error.without_url()).into()),
            Err(error) => Err(self.no_answer(error).into()),
        }
    }
}

impl<E: DeserializeOwned + Send + Sync + 'static> Reactor for HttpReactor<E> {
    type Event = E;

    fn name(&self) -> &str {
        &self.name
    }
    fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }
    fn acts_in_effects_only(&self) -> bool {
        true
    }
    async fn react(&self, cause: Cause<'_, E>) -> Result<(), BoxError> {
        if self.when.as_ref().is_some_and(|wanted| !wanted(&cause)) {
            return Ok(());
        }
        cause.effect(EFFECT, || self.post(&cause)).await.map(|_: answer::Status| ())
    }
}
