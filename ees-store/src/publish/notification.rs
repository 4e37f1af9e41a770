//! Notifications about the revisions of typed streams.

use serde::Deserialize;
use uuid::Uuid;

use super::received::{Readable, UnreadableMessage, read_enveloped};
use crate::{EventId, StreamType};

/// A received notification: a typed stream has reached this revision.
///
/// It comes from a standard topic, so it may arrive late, twice or out of order. Read the stream from the
/// revision that you know.
///
/// ```
/// use ees_store::publish::Notification;
/// let raw = r#"{"StreamId":"9f86d081-884c-4d65-9a2f-eaa0c55ad015","StreamType":"account","StreamRevision":"18"}"#;
/// let notification = Notification::read(raw)?;
/// assert_eq!((notification.stream_type.as_str(), notification.revision.get()), ("account", 18));
/// let enveloped = serde_json::json!({"Type": "Notification", "MessageId": "1", "Message": raw}).to_string();
/// assert_eq!(Notification::read(&enveloped)?, notification);
/// # Ok::<(), ees_store::publish::UnreadableMessage>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The stream.
    pub stream_id: Uuid,
    /// Its type.
    pub stream_type: StreamType,
    /// The number of the stream's last event when it was sent.
    pub revision: EventId,
}

impl Notification {
    /// Reads the body of a message, raw or in the SNS envelope.
    ///
    /// # Errors
    /// [`UnreadableMessage`] when the body is something else.
    pub fn read(body: &str) -> Result<Self, UnreadableMessage> {
        read_enveloped(body, |wire: &Wire| wire.stream_id.is_some())
    }
}

impl Readable for Notification {
    fn read(body: &str) -> Result<Self, UnreadableMessage> {
        Self::read(body)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    stream_id: Option<String>,
    stream_type: Option<String>,
    stream_revision: Option<String>,
}

impl TryFrom<Wire> for Notification {
    type Error = UnreadableMessage;

    fn try_from(wire: Wire) -> Result<Self, UnreadableMessage> {
        let refuse = |why: &str| UnreadableMessage(why.to_owned());
        let given = |text: Option<String>, name: &str| text.ok_or_else(|| refuse(&format!("no `{name}`")));
        let stream_id = given(wire.stream_id, "StreamId")?;
        let stream_type = given(wire.stream_type, "StreamType")?;
        let revision = given(wire.stream_revision, "StreamRevision")?;
        Ok(Self {
            stream_id: Uuid::try_parse(&stream_id).map_err(|e| refuse(&e.to_string()))?,
            stream_type: StreamType::new(&stream_type).map_err(|e| refuse(&e.to_string()))?,
            revision: revision.parse().map_err(|_| refuse("`StreamRevision` is no number"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_notification_says_why() {
        let id = "9f86d081-884c-4d65-9a2f-eaa0c55ad015";
        for (body, why) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "StreamId"),
            (format!(r#"{{"StreamId":"{id}"}}"#), "StreamType"),
            (format!(r#"{{"StreamId":"{id}","StreamType":"a"}}"#), "StreamRevision"),
            (format!(r#"{{"StreamId":"{id}","StreamType":"a","StreamRevision":"x"}}"#), "StreamRevision"),
            (r#"{"StreamId":"x","StreamType":"a","StreamRevision":"1"}"#.to_owned(), "UUID"),
            (r#"{"stream_id":"a","changeset_id":1,"events":[1],"metadata":{}}"#.to_owned(), "StreamId"),
        ] {
            let error = Notification::read(&body).unwrap_err().to_string();
            assert!(error.contains(why), "{body}: {error}");
        }
    }
}
