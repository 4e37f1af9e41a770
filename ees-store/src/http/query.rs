//! Query parameters, and whole numbers of any length.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::http::Uri;
use axum::http::request::Parts;

use super::answer::Shape;

/// The query parameters of a request.
///
/// Names are exact; `strict` refuses unknown ones. An empty value counts as absent. Of a parameter that is
/// given several times the last one counts, unless it is one that may be repeated.
pub(crate) struct Params {
    given: Vec<(String, String)>,
    escaped: bool,
}

/// A request extension: the answer will be sent as a JSON string, as AWS Lambda does it. The size limit of
/// lists then applies to the escaped text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscapedAnswer;

impl Params {
    /// The parameters, and how the answer is carried.
    pub(super) fn of_request(request: &Request) -> Self {
        let escaped = request.extensions().get::<EscapedAnswer>().is_some();
        Self { escaped, ..Self::of(request.uri()) }
    }

    pub(crate) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or("");
        Self { given: form_urlencoded::parse(query.as_bytes()).map(owned).collect(), escaped: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The names that were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.given.iter().map(|(name, _)| name.as_str())
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let last = self.given.iter().rev().find(|(given, _)| given == name);
        last.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the answer shall be indented.
    pub(super) fn wants_pretty(&self) -> bool {
        self.get("pp") == Some("true")
    }

    /// How the answer is carried.
    pub(super) fn shape(&self) -> Shape {
        Shape { pretty: self.wants_pretty(), escaped: self.escaped }
    }

    /// Every value of a parameter that may be repeated.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given
            .iter()
            .filter(move |(given, value)| given == name && !value.is_empty())
            .map(|(_, v)| v.as_str())
    }

    /// A whole number >= 0, or the text that is none.
    pub(super) fn whole(&self, name: &str) -> Result<Option<Whole>, &str> {
        self.get(name).map(|text| Whole::parse(text).ok_or(text)).transpose()
    }
}

/// Seconds: a number as in JSON, or in the looser form of a person, such as `.5`.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.starts_with('+')
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    text.parse().ok().filter(|_| is_number).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

fn owned((name, value): (Cow<'_, str>, Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let escaped = parts.extensions.get::<EscapedAnswer>().is_some();
        Ok(Self { escaped, ..Self::of(&parts.uri) })
    }
}

/// A whole number >= 0 of any length.
///
/// The contract sets no upper bound: a number beyond 64 bits is one that no stream has reached, and messages
/// and answers give it back as it came (without leading zeros).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole(String);

impl Whole {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = text.trim_start_matches('0');
        Some(Self(if digits.is_empty() { "0" } else { digits }.to_owned()))
    }

    pub(super) fn zero() -> Self {
        Self("0".to_owned())
    }

    /// The number; `u64::MAX` for all that is larger.
    pub(crate) fn get(&self) -> u64 {
        self.0.parse().unwrap_or(u64::MAX)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0 == "0"
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for Whole {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Whole {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Whole {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_digits_and_nothing_else() {
        for bad in ["", "-1", "+1", "1.0", "1e3", " 1", "1 ", "x", "0x1", "١"] {
            assert_eq!(Whole::parse(bad), None, "{bad:?}");
        }
        let shown = |text| Whole::parse(text).map(|whole| whole.to_string());
        assert_eq!(shown("007"), Some("7".to_owned()));
        assert_eq!(shown("000"), Some("0".to_owned()));
    }

    #[test]
    fn numbers_beyond_64_bits_keep_their_digits_and_their_order() {
        let [small, large, larger] =
            ["9", "18446744073709551616", "18446744073709551617"].map(|text| Whole::parse(text).unwrap());
        assert!(small < large && large < larger);
        assert_eq!(large.get(), u64::MAX);
        assert_eq!(larger.as_str(), "18446744073709551617");
    }

    #[test]
    fn the_last_of_a_repeated_parameter_counts_and_an_empty_one_is_absent() {
        let params = Params::of(&Uri::from_static("/x?a=1&a=2&b=3&b=&c=%20%2B+&a%62=4"));
        assert_eq!(params.get("a"), Some("2"));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.get("c"), Some(" + "));
        assert_eq!(params.get("ab"), Some("4"));
        assert_eq!(params.get("A"), None);
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
    }
}
