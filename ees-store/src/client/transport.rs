//! Sending a request until it is answered, or until it is no use.

use std::error::Error as _;
use std::time::{Duration, Instant};

use backon::Retryable;
use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, StatusCode};

use super::CallError;
use super::problem::Problem;
use super::retry::{Retry, RetryLimits};
#[cfg(feature = "sigv4")]
use super::sigv4::{Signer, Unsigned};
use crate::spans::Span;
use crate::{Error, Result, TraceContext};

/// A server that asks for a longer pause than this is not worth waiting for in a call.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// What stays as it is in a path segment and in a query.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as it stands in a path segment or in a query.
pub(crate) fn encoded(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, UNRESERVED)
}

/// Connections to one server.
#[derive(Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    url: String,
    /// The server in messages, with the proxy before it.
    told: String,
    timeout: Duration,
    /// Of an answer, at most.
    answer_bytes: usize,
    limits: RetryLimits,
    #[cfg(feature = "sigv4")]
    signer: Option<Signer>,
}

/// A request.
pub(super) struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    wait: Duration,
    repeatable: bool,
}

impl Call {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { repeatable: true, ..Self::new(Method::GET, path.into(), Bytes::new()) }
    }

    pub(super) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let mut call = Self::new(Method::POST, path.into(), body.into());
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        call
    }

    /// The body is JSON lines.
    pub(super) fn of_lines(self) -> Self {
        self.header("content-type", HeaderValue::from_static("application/x-ndjson"))
    }

    fn new(method: Method, path: String, body: Bytes) -> Self {
        Self { method, path, headers: HeaderMap::new(), body, wait: Duration::ZERO, repeatable: false }
    }

    /// A request of somebody else.
    #[cfg(feature = "http")]
    pub(super) fn forwarded(method: Method, path: String, headers: HeaderMap, body: Bytes) -> Self {
        Self { headers, ..Self::new(method, path, body) }
    }

    /// Adds parameters to those that it has.
    pub(super) fn with_query(mut self, more: &str) -> Self {
        self.path.push_str(more);
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Belongs to this trace, unless it says which one.
    fn within(mut self, trace: Option<TraceContext>) -> Self {
        if let Some(trace) = trace.filter(|_| !self.headers.contains_key("traceparent")) {
            let header =
                |(name, text)| Some((HeaderName::from_static(name), HeaderValue::from_str(text).ok()?));
            self.headers.extend(trace.headers().filter_map(header));
        }
        self
    }

    /// The server is asked to wait so long before it answers.
    pub(super) fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Safe to send again even if it has been carried out.
    pub(super) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }
}

/// What the server answered to a call that succeeded.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no such answer.
pub(super) enum Failure {
    /// The server could not be reached, or its answer did not arrive.
    Broken {
        /// What happened, with the server's URL.
        why: String,
        /// Whether the request never left.
        unsent: bool,
    },
    /// The server answered that it can't, or won't.
    Problem(Problem),
    /// The answer is larger than the client takes.
    TooLong(String),
    /// It can't be signed: nothing was sent.
    #[cfg(feature = "sigv4")]
    Unsigned(String),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Broken { why, .. } => Error::Unavailable(why).into(),
            Failure::Problem(problem) => problem.into_call_error(),
            Failure::TooLong(why) => Error::InvalidRequest(why).into(),
            #[cfg(feature = "sigv4")]
            Failure::Unsigned(why) => Error::Forbidden(why).into(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        CallError::from(failure).error
    }
}

impl Transport {
    pub(super) fn new(
        http: reqwest::Client,
        url: String,
        proxy: Option<String>,
        timeout: Duration,
        answer_bytes: usize,
        limits: RetryLimits,
    ) -> Self {
        Self {
            http,
            told: proxy.map_or_else(|| url.clone(), |proxy| format!("{url}, through the proxy {proxy}")),
            url,
            timeout,
            answer_bytes,
            limits,
            #[cfg(feature = "sigv4")]
            signer: None,
        }
    }

    /// Signs each request.
    #[cfg(feature = "sigv4")]
    pub(super) fn signed_by(self, signer: Option<Signer>) -> Self {
        Self { signer, ..self }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a call, again if need be and if that is safe.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let call = call.within(Span::current());
        let started = Instant::now();
        (|| self.send_once(&call))
            .retry(self.limits.backoff)
            .when(|failure| match failure {
                Failure::Broken { unsent, .. } => *unsent || call.repeatable,
                Failure::Problem(problem) => call.repeatable && problem.passes(),
                Failure::TooLong(_) => false,
                #[cfg(feature = "sigv4")]
                Failure::Unsigned(_) => false,
            })
            .adjust(|failure, pause| {
                let pause = match failure {
                    Failure::Problem(Problem { retry_after: Some(asked), .. }) => {
                        pause.map(|pause| pause.max((*asked).min(RETRY_AFTER_MAX)))
                    }
                    _ => pause,
                };
                self.limits.admitted(pause?, started.elapsed())
            })
            .notify(|failure, pause| {
                let why = match failure {
                    Failure::Broken { why, .. }
                    | Failure::Problem(Problem { message: why, .. })
                    | Failure::TooLong(why) => why,
                    #[cfg(feature = "sigv4")]
                    Failure::Unsigned(why) => why,
                };
                tracing::debug!(url = self.url, path = call.path, ?pause, why, "retrying");
                self.limits.report(&Retry { why, pause, elapsed: started.elapsed() });
            })
            .await
    }

    async fn send_once(&self, call: &Call) -> Result<Answer, Failure> {
        let timeout = self.timeout.saturating_add(call.wait);
        let broken = |e: reqwest::Error| self.broken(&e, timeout);
        let request = self.request(call).timeout(timeout).build().map_err(broken)?;
        let mut response = self.http.execute(self.signed(request).await?).await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Part by part: nobody knows how much there will be of what is compressed.
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if body.len() + part.len() > self.answer_bytes {
                return Err(Failure::TooLong(self.too_long()));
            }
            body.extend_from_slice(&part);
        }
        let body = body.freeze();
        if status.is_success() {
            return Ok(Answer { headers, body });
        }
        Err(self.refused(call, status, &headers, &body).await)
    }

    /// Sends a call once, and returns the answer once its head is there: its body may never end.
    #[cfg(feature = "http")]
    pub(super) async fn begin(&self, call: &Call) -> Result<reqwest::Response, Failure> {
        let timeout = self.timeout.saturating_add(call.wait);
        let broken = |e: reqwest::Error| self.broken(&e, timeout);
        let request = self.request(call).build().map_err(broken)?;
        let answered = tokio::time::timeout(timeout, self.http.execute(self.signed(request).await?)).await;
        let late = |_| Failure::Broken { why: self.late(timeout), unsent: false };
        answered.map_err(late)?.map_err(broken)
    }

    fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let request = self.http.request(call.method.clone(), format!("{}{}", self.url, call.path));
        request.headers(call.headers.clone()).body(call.body.clone())
    }

    /// What an answer says that is not the one that was asked for.
    pub(super) async fn refused(
        &self,
        call: &Call,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Failure {
        let problem = Problem::read(&self.told, &call.path, status, headers, body);
        #[cfg(feature = "sigv4")]
        if let Some(signer) = self.signer.as_ref().filter(|_| problem.is_about_credentials()) {
            signer.forget().await;
        }
        Failure::Problem(problem)
    }

    /// Anew each time it is sent: a signature holds for some minutes.
    #[cfg(feature = "sigv4")]
    async fn signed(&self, mut request: Request) -> Result<Request, Failure> {
        let Some(signer) = &self.signer else { return Ok(request) };
        match signer.sign(&mut request).await {
            Ok(()) => Ok(request),
            Err(Unsigned::Passes(why)) => {
                Err(Failure::Broken { why: format!("{}: {why}", self.url), unsent: true })
            }
            Err(Unsigned::Stays(why)) => Err(Failure::Unsigned(format!("{}: {why}", self.url))),
        }
    }

    #[cfg(not(feature = "sigv4"))]
    async fn signed(&self, request: Request) -> Result<Request, Failure> {
        Ok(request)
    }

    fn broken(&self, error: &reqwest::Error, timeout: Duration) -> Failure {
        let cause = std::iter::successors(error.source(), |&cause| cause.source()).last();
        let why = match cause {
            _ if error.is_timeout() && !error.is_connect() => self.late(timeout),
            Some(cause) => format!("{}: {cause}", self.told),
            None => format!("{}: {error}", self.told),
        };
        Failure::Broken { why, unsent: error.is_connect() }
    }

    fn late(&self, timeout: Duration) -> String {
        format!("{}: no answer within {timeout:?}", self.told)
    }

    fn too_long(&self) -> String {
        let max = self.answer_bytes;
        format!(
            "an answer of {} has more than {max} bytes; `Builder::answer_bytes` sets this limit",
            self.told
        )
    }

    /// What was read from an answer, or that it is not one of ours.
    pub(super) fn parsed<T>(&self, read: serde_json::Result<T>) -> Result<T> {
        read.map_err(|e| Error::InvalidRequest(format!("{} does not answer as ees does: {e}", self.told)))
    }
}
