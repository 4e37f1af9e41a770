//! Messages of queues and topics.

use serde_json::json;

use crate::publish::{Message, Notification, Received, trace_of_message};
use crate::{Changeset, EventId, Events, Json, Timestamp, TraceContext};

/// What can be received was sent in one form only, and is the same in an envelope.
pub fn message(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // A queue carries none of these, so that they are sent as escapes.
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        return;
    }
    let trace = trace_of_message(text, |_| None);
    assert!(trace.is_none_or(|trace| TraceContext::from_stored(trace.as_stored()) == Some(trace)));
    if let Ok(received) = Received::read(text) {
        assert_eq!(Received::read(&sent_again(&received)).as_ref(), Ok(&received));
        assert_eq!(Received::read(&enveloped(&sent_again(&received))), Ok(received));
    }
    if let Ok(notification) = Notification::read(text) {
        let Notification { stream_id, stream_type, revision } = &notification;
        let raw = json!({
            "StreamId": stream_id.to_string(), "StreamType": stream_type.as_str(), "StreamRevision": revision.to_string(),
        });
        assert_eq!(Notification::read(&raw.to_string()).as_ref(), Ok(&notification));
        assert_eq!(Notification::read(&enveloped(&raw.to_string())), Ok(notification));
    }
}

fn enveloped(raw: &str) -> String {
    json!({"Type": "Notification", "MessageId": "1", "Message": raw}).to_string()
}

/// The body of the message that the publisher makes.
fn sent_again(received: &Received) -> String {
    let changeset = |first_event_id, events: &Events, metadata: &Json| Changeset {
        stream_id: received.stream_id().clone(),
        changeset_id: received.changeset_id(),
        first_event_id,
        events: events.clone(),
        metadata: metadata.clone(),
        timestamp: Timestamp::default(),
        stream_type: None,
        trace: None,
    };
    let sent = match received {
        Received::Changeset { content: Some((events, metadata)), .. } => {
            Message::of_changeset(&changeset(EventId::new(1), events, metadata)).ok()
        }
        Received::Event { event_id, data: Some(data), .. } => {
            let events = Events::parse(&format!("[{data}]")).ok();
            events.and_then(|events| {
                let changeset = changeset(*event_id, &events, &Json::stored("{}"));
                Message::of_events(&changeset).ok().and_then(|mut messages| messages.next())
            })
        }
        Received::Changeset { stream_id, changeset_id, content: None } => {
            return json!({"stream_id": stream_id, "changeset_id": changeset_id, "truncated": true})
                .to_string();
        }
        Received::Event { stream_id, changeset_id, event_id, data: None } => {
            let event = json!({
                "stream_id": stream_id, "changeset_id": changeset_id, "event_id": event_id, "truncated": true,
            });
            return event.to_string();
        }
    };
    sent.map(|message| message.body().to_owned()).unwrap_or_default()
}
