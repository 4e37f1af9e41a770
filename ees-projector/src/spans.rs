//! The spans of projections and reactors, of messages and of functions.

use std::time::Duration;

use ees_store::spans::{Kind, Span};
use ees_store::{LogEntry, Timestamp, TraceContext};

use crate::error::chain;
use crate::status;
use crate::worker::error::StepError;

/// Commits that a span links to, at most.
const LINKS_MAX: usize = 128;
/// A commit that is older is history, which a projection catches up with.
const HISTORY: Duration = Duration::from_secs(60);

/// The span of a step: a child of the first commit of the batch that is recorded, with links to all of them.
/// Of history there is none, unless that is asked for.
pub(crate) fn step(name: &str, kind: status::Kind, batch: &[LogEntry], with_history: bool) -> Span {
    let oldest = Timestamp::now().as_micros().saturating_sub_unsigned(HISTORY.as_micros() as u64);
    let commits = || {
        let recent = batch.iter().filter(|it| with_history || it.timestamp.as_micros() >= oldest);
        recent.filter_map(|it| it.trace.as_ref())
    };
    let verb = match kind {
        status::Kind::Projection => "apply",
        status::Kind::Reactor => "react",
    };
    let span = of_all(commits, || format!("{verb} {name}"));
    if span.is_recorded() {
        span.set("ees.projection", name);
        span.set("messaging.batch.message_count", batch.len() as u64);
    }
    span
}

/// A span that processes what several others wrote: a child of the first that is recorded, with links to all.
fn of_all<'a, I>(traces: impl Fn() -> I, name: impl FnOnce() -> String) -> Span
where
    I: Iterator<Item = &'a TraceContext>,
{
    let Some(first) = traces().find(|trace| trace.sampled()) else { return Span::default() };
    let span = Span::child_of(Some(first), Kind::Consumer, name);
    if span.is_recorded() {
        span.set("messaging.operation.type", "process");
        link_to(&span, traces());
    }
    span
}

fn link_to<'a>(span: &Span, traces: impl Iterator<Item = &'a TraceContext>) {
    traces.filter(|trace| trace.sampled()).take(LINKS_MAX).for_each(|trace| span.link(trace));
}

/// Records how a step ended. To lose a race is no failure.
pub(crate) fn stepped<T>(span: &Span, result: &Result<T, StepError>) {
    if let Err(error) = result
        && span.is_recorded()
    {
        match error {
            StepError::Fenced => span.set("ees.outcome", "overtaken"),
            StepError::Log(error) => span.fail("log", &chain(error)),
            StepError::Database(error) => span.fail("database", &chain(&**error)),
            StepError::Outside(error) => span.fail("outside", &chain(&**error)),
            StepError::Failed { error, .. } => span.fail("failed", error),
            StepError::TooLarge { error, .. } => span.fail("too_large", error),
            StepError::Replaced(why)
            | StepError::ClaimedElsewhere(why)
            | StepError::WouldDrop(why)
            | StepError::Setup(why)
            | StepError::NotSwapped(why) => span.fail("stopped", why),
            StepError::Absent => span.fail("stopped", "absent"),
        }
    }
    span.end();
}

/// The span of an effect: a child of its event's commit.
pub(crate) fn effect(commit: Option<&TraceContext>, reactor: &str, effect: &str) -> Span {
    let span = Span::child_of(commit, Kind::Internal, || format!("{effect} {reactor}"));
    if span.is_recorded() {
        span.set("ees.reactor", reactor);
        span.set("ees.effect", effect);
    }
    span
}

/// The span of a webhook's request.
#[cfg(feature = "webhook")]
pub(crate) fn webhook(url: &str) -> Span {
    let span = Span::begin(Kind::Client, || "POST".to_owned());
    if span.is_recorded() {
        span.set("http.request.method", "POST");
        // Neither the path nor the query: they may hold a key.
        if let Ok(url) = reqwest::Url::parse(url) {
            span.set("server.address", url.host_str().unwrap_or_default());
            span.set("server.port", u64::from(url.port_or_known_default().unwrap_or_default()));
        }
    }
    span
}

/// Ends the span of a request: with the status of the answer, or with the reason why there is none.
#[cfg(feature = "webhook")]
pub(crate) fn sent(span: &Span, answered: Result<u16, &reqwest::Error>) {
    if span.is_recorded() {
        match answered {
            Ok(status) => {
                span.set("http.response.status_code", u64::from(status));
                if status >= 400 {
                    span.fail(&status.to_string(), "");
                }
            }
            // The whole error would show the URL.
            Err(error) => {
                let why = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
                span.fail("unanswered", &why);
            }
        }
    }
    span.end();
}

/// The span of a function's call: a child of its caller's in AWS X-Ray, if that is recorded.
#[cfg(feature = "aws-lambda")]
pub(crate) fn invocation(xray: Option<&str>, function: &str, request_id: &str) -> Span {
    let name = || function.to_owned();
    let span = match xray.and_then(TraceContext::from_xray) {
        Some(caller) => Span::child_of(Some(&caller), Kind::Server, name),
        None => Span::begin(Kind::Server, name),
    };
    span.set("faas.name", function);
    span.set("faas.invocation_id", request_id);
    span
}

/// The span of messages that were received together, for whatever their name stands for: a child of the first
/// commit that is recorded, with links to all of them.
#[cfg(any(feature = "aws-lambda", feature = "sqs"))]
pub(crate) fn messages(name: &str, traces: &[TraceContext]) -> Span {
    let span = of_all(|| traces.iter(), || format!("process {name}"));
    if span.is_recorded() {
        span.set("messaging.system", "aws_sqs");
        span.set("messaging.destination.name", name);
        if let Some(call) = Span::current().filter(TraceContext::sampled) {
            span.link(&call);
        }
    }
    span
}
