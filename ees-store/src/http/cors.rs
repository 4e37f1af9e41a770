//! Which pages of other sites may call the API from a browser (CORS).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{HeaderName, LINK, RETRY_AFTER};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::endpoints::{CHECKPOINT, POLL_AFTER, VISIBLE};
use super::request_id::REQUEST_ID;

/// How long a browser need not ask again. Browsers have lower limits of their own.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// The origins whose pages may call the API from a browser, for [`Api::with_cors`](super::Api::with_cors).
///
/// Read from a text: origins separated by commas, or `*` for every one. An origin is a scheme and a host, with a
/// port if it is not the scheme's own.
///
/// ```
/// use ees_store::http::CorsOrigins;
/// assert!("https://app.example.com, http://localhost:5173".parse::<CorsOrigins>().is_ok());
/// assert!("https://app.example.com/".parse::<CorsOrigins>().is_err(), "an origin has no path");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigins(Origins);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    Any,
    These(Vec<HeaderValue>),
}

/// Why a text is not the origins that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no origin: give a scheme and a host, such as https://app.example.com, without a path; or * alone"
)]
pub struct InvalidOrigin(String);

impl FromStr for CorsOrigins {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        match text.trim() {
            "*" => Ok(Self(Origins::Any)),
            text => text.split(',').map(origin).collect::<Result<_, _>>().map(Origins::These).map(Self),
        }
    }
}

fn origin(text: &str) -> Result<HeaderValue, InvalidOrigin> {
    let text = text.trim();
    let invalid = || InvalidOrigin(text.to_owned());
    let (scheme, host) = text.split_once("://").ok_or_else(invalid)?;
    let is_scheme = !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@*,".contains(&byte));
    // Browsers send both in small letters.
    let value = HeaderValue::try_from(text.to_ascii_lowercase()).map_err(|_| invalid())?;
    if is_scheme && is_host { Ok(value) } else { Err(invalid()) }
}

impl fmt::Display for CorsOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origins::Any => f.write_str("*"),
            Origins::These(these) => {
                let texts: Vec<_> = these.iter().filter_map(|origin| origin.to_str().ok()).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

impl CorsOrigins {
    /// Whether it is every origin.
    pub fn are_all(&self) -> bool {
        self.0 == Origins::Any
    }

    /// Whether a page of this origin may call.
    pub(super) fn include(&self, origin: &HeaderValue) -> bool {
        match &self.0 {
            Origins::Any => true,
            Origins::These(these) => these.contains(origin),
        }
    }

    /// Answers what browsers ask before a call, and adds to each answer who may read it. No cookies: callers are
    /// known by keys, which a page has to have.
    pub(super) fn layer(&self) -> CorsLayer {
        let origins = match &self.0 {
            Origins::Any => AllowOrigin::any(),
            Origins::These(these) => AllowOrigin::list(these.iter().cloned()),
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED)
            .max_age(MAX_AGE)
    }
}

/// What a page may read of an answer's head, besides what every page may.
const EXPOSED: [HeaderName; 6] = [CHECKPOINT, VISIBLE, POLL_AFTER, REQUEST_ID, RETRY_AFTER, LINK];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        let read = |text: &str| text.parse::<CorsOrigins>().map(|origins| origins.to_string());
        for (text, origins) in [
            ("https://App.example.com", "https://app.example.com"),
            ("http://localhost:5173 , https://b.example", "http://localhost:5173,https://b.example"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("http://[::1]:80", "http://[::1]:80"),
            (" * ", "*"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(origins));
        }
        for text in [
            "",
            "app.example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a,",
            "*,https://a",
            "https://*.a",
            "null",
        ] {
            assert!(
                read(text).is_err_and(|why| why.to_string().contains("https://app.example.com")),
                "{text}"
            );
        }
    }
}
