//! The trace that a received message belongs to: two attributes beside its body.

use std::collections::HashMap;

use serde::Deserialize;

use crate::TraceContext;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The trace that a received message belongs to, if its changeset has one.
///
/// `attribute` gives the text of an attribute that the queue delivered beside the body. If the body is the
/// envelope of SNS, the attributes are in there.
///
/// ```
/// use ees_store::publish::trace_of_message;
/// let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let raw = r#"{"stream_id":"account/42","changeset_id":1,"events":[7],"metadata":{}}"#;
/// let delivered = trace_of_message(raw, |name| (name == "traceparent").then_some(traceparent));
/// let attributes = serde_json::json!({"traceparent": {"Type": "String", "Value": traceparent}});
/// let enveloped = serde_json::json!({"Type": "Notification", "Message": raw, "MessageAttributes": attributes});
/// assert_eq!(trace_of_message(&enveloped.to_string(), |_| None), delivered);
/// assert_eq!(delivered.map(|trace| trace.sampled()), Some(true));
/// ```
pub fn trace_of_message<'a>(body: &str, attribute: impl Fn(&str) -> Option<&'a str>) -> Option<TraceContext> {
    match attribute(TRACEPARENT) {
        Some(traceparent) => TraceContext::from_headers(traceparent, attribute(TRACESTATE)),
        // Most bodies are no envelope, and need not be parsed to know.
        None if !body.contains(TRACEPARENT) => None,
        None => {
            let envelope: Envelope = serde_json::from_str(body).ok()?;
            let attribute = |name: &str| envelope.attributes.get(name)?.value.as_deref();
            TraceContext::from_headers(attribute(TRACEPARENT)?, attribute(TRACESTATE))
        }
    }
}

/// The envelope that SNS puts a message into.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Message")]
    _message: String,
    #[serde(rename = "MessageAttributes")]
    attributes: HashMap<String, EnvelopeAttribute>,
}

#[derive(Deserialize)]
struct EnvelopeAttribute {
    #[serde(rename = "Value")]
    value: Option<String>,
}
