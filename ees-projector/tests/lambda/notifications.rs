//! Notifications as a function gets them from its queue.

use ees_projector::lambda::{acknowledge_all_but, notifications, trace_of};
use serde_json::json;

use crate::support::{failures, messages};

#[test]
fn notifications_are_converted_and_those_that_failed_come_again() {
    let id = "9f86d081-884c-4d65-9a2f-eaa0c55ad015";
    let body = |revision: u64| {
        format!(r#"{{"StreamId":"{id}","StreamType":"account","StreamRevision":"{revision}"}}"#)
    };
    let envelope = json!({"Type": "Notification", "Message": body(18)}).to_string();
    let all = notifications(&messages(&[("a", body(17)), ("a", envelope), ("a", "hello".to_owned())]));
    let revisions: Vec<_> =
        all.iter().map(|it| it.message.as_ref().ok().map(|it| it.revision.get())).collect();
    assert_eq!(revisions, [Some(17), Some(18), None]);
    assert!(all.iter().all(|it| it.trace.is_none()));
    let first = all[0].message.as_ref().unwrap();
    assert_eq!((first.stream_id.to_string().as_str(), first.stream_type.as_str()), (id, "account"));
    let answer = acknowledge_all_but(all.iter().filter(|it| it.message.is_err()));
    assert_eq!(failures(&answer), ["2"]);
}

#[test]
fn a_function_learns_the_trace_of_a_message() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = r#"{"StreamId":"9f86d081-884c-4d65-9a2f-eaa0c55ad015","StreamType":"t","StreamRevision":"1"}"#;
    let attributes = json!({
        "traceparent": {"Type": "String", "Value": parent},
        "tracestate": {"Type": "String", "Value": "a=1"},
    });
    let envelope = json!({"Type": "Notification", "Message": body, "MessageAttributes": attributes});
    let mut event = messages(&[("a", body.to_owned()), ("a", envelope.to_string()), ("a", body.to_owned())]);
    let raw = json!({
        "traceparent": {"stringValue": parent, "stringListValues": [], "binaryListValues": [], "dataType": "String"},
        "tracestate": {"stringValue": "a=1", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
    });
    event.records[0].message_attributes = serde_json::from_value(raw).unwrap();
    let told: Vec<_> = event.records.iter().map(|it| Some(trace_of(it)?.as_stored().to_owned())).collect();
    let trace = Some(format!("{parent} a=1"));
    assert_eq!(told, [trace.clone(), trace, None]);
    assert!(notifications(&event).iter().map(|it| it.trace.clone()).eq(event.records.iter().map(trace_of)));
}
