//! The settings of a client.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Url, redirect};

use super::Client;
use super::base_contract::StreamEnds;
use super::bulk::OneByOne;
use super::proxy;
use super::retry::{OnRetry, Retry, RetryLimits};
#[cfg(feature = "sigv4")]
use super::sigv4::{Signer, is_api_gateway};
use super::transport::Transport;
use crate::{Error, Result};

/// Builds a [`Client`].
///
/// Calls go through the proxy that the environment names when the client is built (`HTTP_PROXY`, `HTTPS_PROXY`,
/// `ALL_PROXY`), except to this machine (`localhost`, 127.0.0.1, ::1) and to the hosts in `NO_PROXY`.
///
/// ```
/// use std::time::Duration;
/// use ees_store::client::Client;
///
/// let client = Client::builder("http://localhost:8080/events")
///     .api_key("secret")
///     .timeout(Duration::from_secs(5))
///     .retries(2)
///     .build()?;
/// # Ok::<(), ees_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Builder {
    url: String,
    api_key: Option<String>,
    connect_timeout: Duration,
    timeout: Duration,
    retries: usize,
    retry_for: Option<Duration>,
    on_retry: Option<OnRetry>,
    compression: Option<bool>,
    answer_bytes: usize,
    #[cfg(feature = "sigv4")]
    sigv4: Option<aws_types::SdkConfig>,
}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            api_key: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            retries: 4,
            retry_for: None,
            on_retry: None,
            compression: None,
            answer_bytes: 256 * 1024 * 1024,
            #[cfg(feature = "sigv4")]
            sigv4: None,
        }
    }

    /// Sends this key with every call. Default: none.
    #[must_use]
    pub fn api_key(self, key: &str) -> Self {
        Self { api_key: Some(key.to_owned()), ..self }
    }

    /// Signs every call (SigV4, service `execute-api`), for an API behind API Gateway that requires
    /// `execute-api:Invoke`: the stack with `Authorization=iam`. It replaces an API key.
    ///
    /// The credentials come from the configuration, such as `aws_config::load_defaults(..)` finds them in the
    /// environment; the client refreshes them before they expire. The region comes from the URL
    /// (`https://ID.execute-api.REGION.amazonaws.com/...`), or else from the configuration.
    ///
    /// If the API refuses a signature, the call fails with [`Error::Forbidden`], whose message says what may
    /// be wrong.
    ///
    /// ```no_run
    /// # async fn example(config: aws_types::SdkConfig) -> Result<(), ees_store::Error> {
    /// use ees_store::client::Client;
    ///
    /// let url = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1";
    /// let client = Client::builder(url).with_sigv4(&config).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "sigv4")]
    #[must_use]
    pub fn with_sigv4(self, config: &aws_types::SdkConfig) -> Self {
        Self { sigv4: Some(config.clone()), ..self }
    }

    /// Returns whether the URL is one of API Gateway (`https://ID.execute-api.REGION.amazonaws.com`), where a
    /// call without a key has to be signed.
    #[cfg(feature = "sigv4")]
    pub fn is_api_gateway(&self) -> bool {
        is_api_gateway(&self.url)
    }

    /// The maximum time to connect, for each attempt. Default: 5 seconds.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// The maximum time for a whole answer, for each attempt, in addition to the wait that the call asks for.
    /// Default: 30 seconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How many times a call that is safe to repeat is retried. Default: 4. The pauses grow; 4 of them add up
    /// to 5 to 10 seconds. If the server asks for another pause, the client waits that long, up to 10
    /// seconds.
    #[must_use]
    pub fn retries(self, retries: usize) -> Self {
        Self { retries, ..self }
    }

    /// The maximum time for which a call is retried, counted from its first attempt. By default, only the
    /// number of retries limits it.
    #[must_use]
    pub fn retry_for(self, retry_for: Duration) -> Self {
        Self { retry_for: Some(retry_for), ..self }
    }

    /// Calls this before each pause, such as to tell a person what the program is waiting for.
    #[must_use]
    pub fn on_retry(self, on_retry: impl Fn(&Retry<'_>) + Send + Sync + 'static) -> Self {
        Self { on_retry: Some(Arc::new(on_retry)), ..self }
    }

    /// Whether the server is asked to compress its answers (zstd or gzip). By default, it is, except on this machine
    /// (`localhost`, 127.0.0.1, ::1), where compressing takes longer than sending.
    #[must_use]
    pub fn compression(self, compression: bool) -> Self {
        Self { compression: Some(compression), ..self }
    }

    /// The maximum size of an answer in bytes, after decompression. A larger one fails with
    /// [`Error::InvalidRequest`]. Default: 256 MiB.
    #[must_use]
    pub fn answer_bytes(self, answer_bytes: usize) -> Self {
        Self { answer_bytes, ..self }
    }

    /// Builds the client. It connects with the first call.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the URL is not valid for a server, is `https` while the crate's feature
    /// `tls` is off, or the API key contains characters that a header can't; when signing lacks credentials
    /// or a region, or is combined with an API key.
    pub fn build(self) -> Result<Client> {
        let url = checked(&self.url)?;
        let server: Option<Url> = url.parse().ok();
        let proxy = server.as_ref().and_then(proxy::before);
        let host = server.as_ref().and_then(Url::host_str);
        let compression = self.compression.unwrap_or_else(|| !host.is_some_and(proxy::is_this_machine));
        let http = reqwest::Client::builder();
        let http = if proxy.is_some() { http } else { http.no_proxy() };
        let http = http
            .default_headers(self.headers()?)
            .connect_timeout(self.connect_timeout)
            // Shorter than a server keeps an idle connection: what is sent into one that closes is lost.
            .pool_idle_timeout(Duration::from_secs(5))
            // Following one could turn a commit into a read.
            .redirect(redirect::Policy::none())
            .gzip(compression)
            .zstd(compression)
            .build()
            .map_err(|e| Error::InvalidRequest(format!("failed to build the HTTP client: {e}")))?;
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_factor(2.5)
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(self.retries);
        #[cfg(feature = "sigv4")]
        let signer = self.signer(&url)?;
        let limits = RetryLimits { backoff, retry_for: self.retry_for, on_retry: self.on_retry };
        let transport = Transport::new(http, url, proxy, self.timeout, self.answer_bytes, limits);
        #[cfg(feature = "sigv4")]
        let transport = transport.signed_by(signer);
        Ok(Client { transport, ends: StreamEnds::default(), one_by_one: OneByOne::default() })
    }

    #[cfg(feature = "sigv4")]
    fn signer(&self, url: &str) -> Result<Option<Signer>> {
        let Some(config) = &self.sigv4 else { return Ok(None) };
        if self.api_key.is_some() {
            let why = "a call has an API key or a signature, not both: they go into the same header";
            return Err(Error::InvalidRequest(why.to_owned()));
        }
        Signer::new(config, url).map(Some)
    }

    fn headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                Error::InvalidRequest(
                    "the API key contains characters that are not allowed in a header".to_owned(),
                )
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// The URL without a slash at its end, so that paths can be appended.
fn checked(url: &str) -> Result<String> {
    let refuse = |why: &str| Err(Error::InvalidRequest(format!("{url:?} is not the URL of a server: {why}")));
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        // No scheme, so not even an error about one.
        Err(_) if !url.contains("://") => return refuse("it must begin with http:// or https://"),
        Err(e) => return refuse(&e.to_string()),
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // Said without the URL: it ends up in logs.
        let why = "a URL must not hold a user name or a password; give an API key instead";
        return Err(Error::InvalidRequest(why.to_owned()));
    }
    match parsed.scheme() {
        "http" => {}
        "https" if cfg!(feature = "tls") => {}
        "https" => return refuse("https needs a build with the feature `tls`"),
        _ => return refuse("it must begin with http:// or https://"),
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return refuse("it must not have a query or a fragment");
    }
    Ok(parsed.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_before_anything_is_sent() {
        for (given, kept) in [
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("http://host/a/b/", "http://host/a/b"),
            ("HTTP://HOST", "http://host"),
        ] {
            assert_eq!(checked(given).unwrap(), kept);
        }
        for (given, why) in [
            ("localhost:8080", "http://"),
            ("", "http://"),
            ("127.0.0.1:8080", "http://"),
            ("ftp://host", "http://"),
            ("http://host?x=1", "query"),
            ("http://host:99999", "port"),
        ] {
            let told = checked(given).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn https_without_its_feature_says_which_one_is_missing() {
        let told = Client::new("https://localhost:8443").unwrap_err().to_string();
        assert!(told.contains("feature `tls`"), "{told}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn https_needs_nothing_but_its_feature() {
        assert!(Client::new("https://localhost:8443").is_ok());
    }

    #[test]
    fn an_api_key_that_no_header_can_hold_is_refused() {
        let refused = Client::builder("http://localhost").api_key("a\nb").build().unwrap_err();
        assert!(!refused.to_string().contains("a\nb"), "the key itself is not told");
    }
}
