//! The trace of a changeset, as the two members of a line of JSON.

use ees_store::TraceContext;

use crate::exit::{Failure, Outcome};

/// The trace that a line names. Unlike a header, a line that can't be kept as it is gets refused: it is not what
/// an export wrote.
pub(crate) fn trace_of(traceparent: Option<&str>, tracestate: Option<&str>) -> Outcome<Option<TraceContext>> {
    let refuse = |member: &str, value: &str| {
        let message = format!("\"{member}\" is not valid as in W3C Trace Context: {value:?}");
        Err(Failure::bad_input(message).with_hint("correct the member, or leave it out"))
    };
    let Some(traceparent) = traceparent else {
        return match tracestate {
            None => Ok(None),
            Some(_) => Err(Failure::bad_input("\"tracestate\" is there without \"traceparent\"")),
        };
    };
    match TraceContext::from_headers(traceparent, tracestate) {
        Some(trace) if trace.traceparent() != traceparent => refuse("traceparent", traceparent),
        Some(trace) if trace.tracestate() != tracestate => {
            refuse("tracestate", tracestate.unwrap_or_default())
        }
        None => refuse("traceparent", traceparent),
        trace => Ok(trace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_an_export_wrote_is_taken_and_anything_else_is_named() {
        let read =
            |traceparent, tracestate| trace_of(traceparent, tracestate).map_err(|it| format!("{it:?}"));
        assert_eq!(read(None, None), Ok(None));
        for tracestate in [None, Some("a=1,b=2")] {
            let trace = read(Some(TRACEPARENT), tracestate).unwrap().unwrap();
            assert_eq!((trace.traceparent(), trace.tracestate()), (TRACEPARENT, tracestate));
        }
        let later = TRACEPARENT.replacen("00", "01", 1);
        for (traceparent, tracestate, member) in [
            (Some("00-1"), None, "traceparent"),
            (Some(later.as_str()), None, "traceparent"),
            (Some(TRACEPARENT), Some("a"), "tracestate"),
            (None, Some("a=1"), "without"),
        ] {
            let told = read(traceparent, tracestate).unwrap_err();
            assert!(told.contains(member), "{told}");
        }
    }
}
