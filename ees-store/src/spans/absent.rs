//! No spans.

use super::{Kind, Value};
use crate::TraceContext;

/// A span. Without the feature `opentelemetry` nothing is recorded.
#[derive(Clone, Debug, Default)]
pub struct Span(());

#[allow(clippy::unused_self, clippy::needless_pass_by_value, reason = "the form that records needs them")]
impl Span {
    /// Begins nothing.
    pub fn begin(_: Kind, _: impl FnOnce() -> String) -> Self {
        Self(())
    }

    /// Begins nothing.
    pub fn child_of(_: Option<&TraceContext>, _: Kind, _: impl FnOnce() -> String) -> Self {
        Self(())
    }

    /// `false`.
    pub fn is_recorded(&self) -> bool {
        false
    }

    /// `None`.
    pub fn trace(&self) -> Option<TraceContext> {
        None
    }

    /// Does nothing.
    pub fn set<'a>(&self, _: &'static str, _: impl Into<Value<'a>>) {}

    /// Does nothing.
    pub fn link(&self, _: &TraceContext) {}

    /// Does nothing.
    pub fn fail(&self, _: &str, _: &str) {}

    /// Does nothing.
    pub fn end(&self) {}

    /// Runs a future.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        future.await
    }

    /// `None`.
    pub fn current() -> Option<TraceContext> {
        None
    }
}
