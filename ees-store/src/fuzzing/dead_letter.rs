//! Messages of a dead-letter queue.

use serde_json::Value;

use crate::publish::DeadLetter;
use crate::{ChangesetId, EventId};

/// A dead letter that was read is the same when it is kept again, and has what the message says.
pub fn dead_letter(data: &[u8]) {
    let Ok(letter) = serde_json::from_slice::<DeadLetter>(data) else { return };
    let Ok(kept) = serde_json::to_string(&letter) else { panic!("{letter:?} can't be kept") };
    let read = serde_json::from_str::<DeadLetter>(&kept);
    assert_eq!(read.as_ref().ok(), Some(&letter), "{kept}");
    // Not a number beyond the range of floats, in a member that is ignored.
    let Ok(Value::Object(message)) = serde_json::from_slice(data) else { return };
    let text = |name: &str| message.get(name).and_then(Value::as_str);
    assert_eq!(text("topic_arn"), Some(&*letter.topic_arn));
    assert_eq!(text("stream_id"), Some(&*letter.stream_id));
    assert_eq!(text("error"), Some(&*letter.error));
    let number = |name: &str| message.get(name).and_then(Value::as_u64);
    assert_eq!(number("changeset_id").map(ChangesetId::new), Some(letter.changeset_id));
    assert_eq!(number("event_id").map(EventId::new), letter.event_id);
    assert_eq!(message.get("each_event").and_then(Value::as_bool).unwrap_or_default(), letter.each_event);
}
