//! Posts messages to the collector.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode, redirect};
use tokio::runtime::Handle;

use crate::settings::{Destination, Signal};

/// How often the log says that messages are dropped.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Attempts after the first one. Spans pile up meanwhile, so that few are better than many.
const RETRIES: usize = 2;

/// Posts messages about one of the two signals.
#[derive(Debug)]
pub(crate) struct Sender {
    client: Client,
    destination: Destination,
    runtime: Handle,
    trouble: Trouble,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url.origin().ascii_serialization())
    }
}

impl Sender {
    /// Call it in a Tokio runtime: that does the work, whichever thread calls [`send`](Self::send).
    pub(crate) fn new(mut destination: Destination) -> Result<Self, reqwest::Error> {
        let headers = &mut destination.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if destination.is_compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = Client::builder()
            .default_headers(destination.headers.clone())
            .user_agent(concat!("ees-otlp/", env!("CARGO_PKG_VERSION")))
            // A redirect could send the headers, which may hold a key, to somebody else.
            .redirect(redirect::Policy::none())
            .build()?;
        let trouble = Trouble::of(destination.signal);
        Ok(Self { client, destination, runtime: Handle::current(), trouble })
    }

    /// Sends a message within the time-out. What can't be sent is dropped, and told in the log now and then.
    pub(crate) async fn send(&self, message: &impl Message) -> Result<(), String> {
        let sending =
            self.runtime.spawn(post(self.client.clone(), self.destination.clone(), self.body(message)));
        let sent = sending.await.unwrap_or_else(|stopped| Err(stopped.to_string()));
        self.trouble.note(sent.as_ref().map(drop).map_err(String::as_str), &self.destination);
        sent
    }

    fn body(&self, message: &impl Message) -> Vec<u8> {
        let plain = message.encode_to_vec();
        if !self.destination.is_compressed {
            return plain;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory can't fail.
        let _ = encoder.write_all(&plain);
        encoder.finish().unwrap_or_default()
    }
}

async fn post(client: Client, destination: Destination, body: Vec<u8>) -> Result<(), String> {
    let once = || async {
        let sent = client.post(destination.url.clone()).body(body.clone()).send().await;
        let response = sent.map_err(|e| Refused { why: chain(&e.without_url()), passes: true })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let passes = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Refused { why: format!("it answers {status}"), passes })
    };
    let backoff = ExponentialBuilder::default().with_jitter().with_max_times(RETRIES);
    let sending = once.retry(backoff).when(|refused: &Refused| refused.passes);
    match tokio::time::timeout(destination.timeout, sending).await {
        Ok(sent) => sent.map_err(|refused| refused.why),
        Err(_) => Err(format!("it did not take them within {:?}", destination.timeout)),
    }
}

struct Refused {
    why: String,
    /// Whether another attempt may succeed.
    passes: bool,
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Says that messages are dropped, and that this is over, without filling the log.
#[derive(Debug)]
struct Trouble {
    signal: Signal,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Messages dropped since the log said so.
    dropped: u64,
    warned: Option<Instant>,
}

impl Trouble {
    fn of(signal: Signal) -> Self {
        Self { signal, state: Mutex::default() }
    }

    fn note(&self, sent: Result<(), &str>, destination: &Destination) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (signal, collector) = (self.signal.name(), destination.url.host_str().unwrap_or_default());
        match sent {
            Ok(()) if state.warned.is_some() => {
                tracing::info!(collector, dropped = state.dropped, "{signal} reach the collector again");
                *state = State::default();
            }
            Ok(()) => {}
            Err(why) => {
                state.dropped += 1;
                if state.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
                    let dropped = std::mem::take(&mut state.dropped);
                    state.warned = Some(Instant::now());
                    tracing::warn!(
                        collector,
                        dropped,
                        why,
                        "{signal} don't reach the collector, and are dropped"
                    );
                }
            }
        }
    }
}
