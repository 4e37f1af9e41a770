//! Answers in fewer bytes, for callers that ask for them (`Accept-Encoding`).

use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread::available_parallelism;

use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use flate2::write::GzEncoder;
use hyper::body::Body as _;
use tokio::sync::Semaphore;

use super::weights;

/// A smaller answer stays as it is.
const BYTES_MIN: u64 = 1024;
/// A larger answer is compressed beside the threads that serve requests.
const BYTES_AT_ONCE_MAX: usize = 32 * 1024;
/// What the processor can compress faster than most networks carry it.
const ZSTD_LEVEL: i32 = 1;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    fn encode(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
            Self::Gzip => {
                let room = Vec::with_capacity(bytes.len() / 4);
                let mut encoder = GzEncoder::new(room, flate2::Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// The codings that a caller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The one that it likes best of those that there are; the first of two that it likes as much.
    coding: Option<Coding>,
    /// Whether it accepts an answer as it is.
    plain: bool,
}

impl Accepted {
    /// What the caller accepts that sends these headers.
    pub(super) fn by(method: &Method, headers: &HeaderMap) -> Self {
        let listed = weights::of(headers, ACCEPT_ENCODING);
        let named = |name: &str| listed.iter().find(|(listed, _)| listed == name).map(|(_, liking)| *liking);
        let any = named("*");
        let plain = named("identity").or(any.filter(|liking| *liking == 0.0));
        let zstd = named("zstd").or(any).unwrap_or(0.0);
        let gzip = named("gzip").or_else(|| named("x-gzip")).or(any).unwrap_or(0.0);
        let (coding, liking) = if zstd >= gzip { (Coding::Zstd, zstd) } else { (Coding::Gzip, gzip) };
        // An answer to HEAD has no body; without one, a size that fits none would be told.
        let is_wanted = *method != Method::HEAD && liking > 0.0 && plain.is_none_or(|plain| liking >= plain);
        Self { coding: is_wanted.then_some(coding), plain: plain != Some(0.0) }
    }

    /// Nothing but an answer as it is.
    pub(super) const PLAIN: Self = Self { coding: None, plain: true };

    /// The coding of this answer, if it is to have one. Says to caches that the answer depends on what the
    /// caller accepts.
    pub(super) fn coding_of(self, response: &mut Response) -> Option<Coding> {
        // An answer that goes on has no size: a part of it must not wait for the next one.
        let size = response.body().size_hint().exact()?;
        if !is_text(response) || size == 0 || (size < BYTES_MIN && self.plain) {
            return None;
        }
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        self.coding
    }
}

/// Whether compressing is worth while: not what is compressed already, such as pictures.
fn is_text(response: &Response) -> bool {
    let headers = response.headers();
    if headers.contains_key(CONTENT_ENCODING) || response.status() == StatusCode::PARTIAL_CONTENT {
        return false;
    }
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    given.starts_with("text/")
        || matches!(
            given.as_str(),
            "application/json"
                | "application/javascript"
                | "application/openmetrics-text"
                | "application/x-ndjson"
                | "image/svg+xml"
        )
}

/// Compresses a few answers at a time, so that commits always find a processor.
pub(super) struct Compressor(Arc<Semaphore>);

impl Compressor {
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors.saturating_sub(1).max(1))))
    }

    /// The body of an answer in this coding.
    pub(super) async fn compress(&self, coding: Coding, headers: &mut HeaderMap, body: Bytes) -> Bytes {
        let encoded = if body.len() <= BYTES_AT_ONCE_MAX {
            coding.encode(&body)
        } else {
            // Never closed.
            let permit = self.0.clone().acquire_owned().await.ok();
            let body = body.clone();
            let encoding = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                coding.encode(&body)
            });
            encoding.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
        };
        match encoded {
            Ok(mut encoded) => {
                // The encoder made room for the worst case.
                encoded.shrink_to_fit();
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
                headers.remove(CONTENT_LENGTH);
                encoded.into()
            }
            Err(error) => {
                tracing::warn!(%error, coding = coding.name(), "failed to compress an answer");
                body
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &'static str) -> Accepted {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
        Accepted::by(&Method::GET, &headers)
    }

    #[test]
    fn the_coding_is_the_one_that_the_caller_likes_best() {
        for accept in ["zstd", "gzip, zstd", "br, *", "gzip;q=0.5, zstd;q=0.5", "*;q=0.1, gzip;q=0", "ZSTD"] {
            assert_eq!(accepted(accept).coding, Some(Coding::Zstd), "{accept}");
        }
        for accept in ["gzip", "x-gzip", "gzip, deflate, br", "zstd;q=0.8, gzip;q=0.9", "zstd;q=0, *"] {
            assert_eq!(accepted(accept).coding, Some(Coding::Gzip), "{accept}");
        }
        for accept in [
            "",
            "br",
            "identity",
            "zstd;q=0",
            "gzip;q=0.000, zstd;q=0",
            "*;q=0",
            "gzip;q=much",
            "gzip;q=2",
            "identity, gzip;q=0.5",
            "zstdx",
        ] {
            assert_eq!(accepted(accept).coding, None, "{accept}");
        }
        assert_eq!(Accepted::by(&Method::GET, &HeaderMap::new()), Accepted::PLAIN);
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("zstd"))]);
        assert_eq!(Accepted::by(&Method::HEAD, &headers).coding, None);
    }

    #[test]
    fn an_answer_as_it_is_is_accepted_unless_it_is_refused() {
        for accept in ["", "gzip", "gzip, *;q=0.1", "identity;q=0.1", "identity, *;q=0"] {
            assert!(accepted(accept).plain, "{accept}");
        }
        for accept in ["gzip, identity;q=0", "gzip, *;q=0", "identity;q=0.0"] {
            assert!(!accepted(accept).plain, "{accept}");
        }
    }
}
