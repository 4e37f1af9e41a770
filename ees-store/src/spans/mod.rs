//! Spans of OpenTelemetry: what is recorded of a request, a commit, a step, an effect.
//!
//! With the feature `opentelemetry`, they go to the process's tracer provider, whichever that is
//! (`opentelemetry::global`). Without it, or without a provider, nothing is recorded, and callers need not
//! know: a [`Span`] is then nothing.
//!
//! A trace that its caller does not sample is not recorded here either, whatever the sampler says: so a commit
//! that nobody traces costs nothing.

mod of_store;
#[cfg(not(feature = "opentelemetry"))]
#[path = "absent.rs"]
mod span;
#[cfg(feature = "opentelemetry")]
#[path = "recorded.rs"]
mod span;

pub(crate) use of_store::commit;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use of_store::group;
#[cfg(feature = "http")]
pub(crate) use of_store::{answered, request};
pub use span::Span;

/// The role of a span in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work within the process.
    Internal,
    /// Answers a request.
    Server,
    /// Sends a request, and waits for the answer.
    Client,
    /// Processes what was written before.
    Consumer,
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}
