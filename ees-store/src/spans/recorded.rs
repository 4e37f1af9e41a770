//! Spans for the process's tracer provider.

use std::str::FromStr as _;

use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, global};

use super::{Kind, Value};
use crate::TraceContext;

/// The name of what makes these spans.
const SCOPE: &str = "ees";

/// A span that is recorded, or nothing. Clones are the same span.
#[derive(Clone, Debug, Default)]
pub struct Span(
    /// `None`: whatever is current stays so.
    Option<Context>,
);

impl Span {
    /// Begins a span as a child of the current one. Without a current one, it begins a trace, if the sampler
    /// wants it.
    pub fn begin(kind: Kind, name: impl FnOnce() -> String) -> Self {
        Context::map_current(|current| match current.span().span_context() {
            parent if parent.is_valid() && !parent.is_sampled() => Self(None),
            _ => Self::start(current, kind, name),
        })
    }

    /// Begins a span as a child of one that may be elsewhere. Without a parent that is sampled, nothing is
    /// recorded; and what happens within is no part of the current trace either.
    pub fn child_of(parent: Option<&TraceContext>, kind: Kind, name: impl FnOnce() -> String) -> Self {
        let Some(parent) = parent else {
            let is_within = Context::map_current(Context::has_active_span);
            return Self(is_within.then(Context::new));
        };
        let context = Context::new().with_remote_span_context(span_context(parent));
        if parent.sampled() { Self::start(&context, kind, name) } else { Self(Some(context)) }
    }

    fn start(parent: &Context, kind: Kind, name: impl FnOnce() -> String) -> Self {
        let tracer = global::tracer(SCOPE);
        let builder = SpanBuilder::from_name(name()).with_kind(match kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Consumer => SpanKind::Consumer,
        });
        let context = parent.with_span(tracer.build_with_context(builder, parent));
        // Not recorded, but there: the sampler does not want this trace, and shall not be asked again within.
        let is_there = context.span().span_context().is_valid();
        Self(is_there.then_some(context))
    }

    /// Whether anything is recorded. Ask before making an attribute that costs something.
    pub fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(|context| context.span().is_recording())
    }

    /// Where it is, for a child elsewhere or later. `None` if it is not recorded.
    pub fn trace(&self) -> Option<TraceContext> {
        let context = self.0.as_ref().filter(|context| context.span().is_recording())?;
        trace_context(context.span().span_context())
    }

    /// Sets an attribute.
    pub fn set<'a>(&self, name: &'static str, value: impl Into<Value<'a>>) {
        let Some(context) = self.0.as_ref().filter(|context| context.span().is_recording()) else { return };
        context.span().set_attribute(match value.into() {
            Value::Text(text) => KeyValue::new(name, text.to_owned()),
            Value::Number(number) => KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX)),
        });
    }

    /// Links it to another span.
    pub fn link(&self, to: &TraceContext) {
        if let Some(context) = &self.0 {
            context.span().add_link(span_context(to), Vec::new());
        }
    }

    /// Records that it failed: with the kind of the failure, and in words.
    pub fn fail(&self, kind: &str, why: &str) {
        if self.is_recorded() {
            self.set("error.type", kind);
            if let Some(context) = &self.0 {
                context.span().set_status(Status::error(why.to_owned()));
            }
        }
    }

    /// Ends it. Otherwise, it ends when the last clone is dropped.
    pub fn end(&self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }

    /// Runs a future within it: spans that begin there are its children.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        match &self.0 {
            Some(context) => future.with_context(context.clone()).await,
            None => future.await,
        }
    }

    /// The current span, for a call to another process. `None` if there is none.
    pub fn current() -> Option<TraceContext> {
        Context::map_current(|current| match current.has_active_span() {
            true => trace_context(current.span().span_context()),
            false => None,
        })
    }
}

fn span_context(trace: &TraceContext) -> SpanContext {
    let state = trace.tracestate().and_then(|state| TraceState::from_str(state).ok());
    let flags = TraceFlags::default().with_sampled(trace.sampled());
    // Its texts are hexadecimal digits: these can't fail.
    let trace_id = TraceId::from_hex(trace.trace_id()).unwrap_or(TraceId::INVALID);
    let span_id = SpanId::from_hex(trace.parent_id()).unwrap_or(SpanId::INVALID);
    SpanContext::new(trace_id, span_id, flags, true, state.unwrap_or_default())
}

fn trace_context(span: &SpanContext) -> Option<TraceContext> {
    if !span.is_valid() {
        return None;
    }
    let flags = u8::from(span.is_sampled());
    let traceparent = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    let state = span.trace_state().header();
    TraceContext::from_headers(&traceparent, Some(&*state).filter(|state| !state.is_empty()))
}
