//! The reactor that posts events to a URL, and how whoever is there knows that they are ours.

mod answer;
mod body;
mod signature;

use std::marker::PhantomData;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::reactor::{Cause, PermanentError, Reactor};
use crate::subscription::Subscription;

pub use body::Delivery;
pub use signature::{NotSigned, SIGNATURE, verify};

/// The header with the key by which a receiver tells a repetition.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The effect's name in the ledger.
const EFFECT: &str = "webhook";
/// How long it may take to get a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

type When<E> = Box<dyn Fn(&Cause<'_, E>) -> bool + Send + Sync>;

/// Posts each event to a URL, as JSON ([`Delivery`]), with an `Idempotency-Key`, and signed where there is a secret.
///
/// # Guarantees
/// At least once, in the order of each stream. A receiver that is asked the same again finds the same key, which no other
/// event and no other reactor has.
///
/// # Answers
/// - 2xx: done. The ledger keeps the status.
/// - 408, 409, 425, 429, 5xx, no connection, no answer within
///   [`effect_timeout`](crate::reactor::Settings::effect_timeout): tried again, the stream in its order. Not before
///   `Retry-After`, in seconds or as a date.
/// - Anything else, redirects among them: it was understood and refused, and would be again. The stream waits for an operator
///   at once.
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

impl<E: DeserializeOwned + Send + Sync + 'static> HttpReactor<E> {
    /// A reactor of this name that posts to this URL. `https` takes the feature `tls`.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            // Shorter than a server keeps an idle connection: what is sent into one that closes is lost.
            .pool_idle_timeout(Duration::from_secs(5))
            // Following one could send an event, and its signature, to somebody else.
            .redirect(redirect::Policy::none())
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

    /// Signs what is sent (see [`verify`]). Given more than once, it is signed with each: so a secret is replaced without a
    /// moment in which the receiver knows none of them.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Sends a header with each, such as `authorization`. One that can't be is left out, and told to the log.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(header), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.insert(header, value);
            }
            _ => tracing::error!(reactor = self.name, header = name, "no header can be like this"),
        }
        self
    }

    /// Sends only events for which that holds.
    #[must_use]
    pub fn when(self, wanted: impl Fn(&Cause<'_, E>) -> bool + Send + Sync + 'static) -> Self {
        Self { when: Some(Box::new(wanted)), ..self }
    }

    /// Which changesets it posts, and how it reads their events. Default: all changesets.
    #[must_use]
    pub fn with_subscription(self, subscription: Subscription) -> Self {
        Self { subscription, ..self }
    }

    /// Sends with a client of your own: with a proxy, or authorities of your own. It should follow no redirects.
    #[must_use]
    pub fn with_client(self, client: reqwest::Client) -> Self {
        Self { client: Ok(client), ..self }
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
        match request.body(body).send().await {
            Ok(response) => answer::judge(response.status(), response.headers()),
            Err(error) if error.is_builder() => Err(PermanentError::because(error.without_url()).into()),
            Err(error) => Err(error.without_url().into()),
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
    async fn react(&self, cause: Cause<'_, E>) -> Result<(), BoxError> {
        if self.when.as_ref().is_some_and(|wanted| !wanted(&cause)) {
            return Ok(());
        }
        cause.effect(EFFECT, || self.post(&cause)).await.map(|_: answer::Status| ())
    }
}
