//! Messages as a subscriber receives them.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{ChangesetId, EventId, Events, Json, StreamId};

/// A message as received from a queue, raw or in the SNS envelope.
///
/// The content is `None` if it was too large for a message: read it from the store.
///
/// ```
/// use ees_store::publish::Received;
/// let raw = r#"{"stream_id":"account/42","changeset_id":1,"events":[{"type":"opened"}],"metadata":{}}"#;
/// let enveloped = serde_json::json!({"Type": "Notification", "MessageId": "1", "Message": raw}).to_string();
/// let received = Received::read(raw)?;
/// assert_eq!(received, Received::read(&enveloped)?);
/// assert_eq!((received.stream_id().as_str(), received.changeset_id().get()), ("account/42", 1));
/// # Ok::<(), ees_store::publish::UnreadableMessage>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// From the topic of changesets.
    Changeset {
        /// Its stream.
        stream_id: StreamId,
        /// Its number in the stream.
        changeset_id: ChangesetId,
        /// Its events and metadata.
        content: Option<(Events, Json)>,
    },
    /// From the topic of events.
    Event {
        /// Its stream.
        stream_id: StreamId,
        /// The number of its changeset in the stream.
        changeset_id: ChangesetId,
        /// Its own number in the stream.
        event_id: EventId,
        /// The event.
        data: Option<Json>,
    },
}

/// A text that is not a message of an event store. The reason says what is missing, or what does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message of an event store: {0}")]
pub struct UnreadableMessage(pub(super) String);

/// Types that the body of a message can be read as: [`Received`] from the topics of changesets and events,
/// [`Notification`](super::Notification) from the topic of notifications.
pub trait Readable: Sized {
    /// Reads the body of a message, raw or in the SNS envelope.
    ///
    /// # Errors
    /// [`UnreadableMessage`] when the body is something else.
    fn read(body: &str) -> Result<Self, UnreadableMessage>;
}

impl Readable for Received {
    fn read(body: &str) -> Result<Self, UnreadableMessage> {
        Self::read(body)
    }
}

/// The envelope that SNS puts a message into.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Message")]
    message: Option<String>,
}

/// Reads a message that is the body itself, or is in an envelope there.
pub(super) fn read_enveloped<W, T>(body: &str, is_raw: impl Fn(&W) -> bool) -> Result<T, UnreadableMessage>
where
    W: for<'de> Deserialize<'de>,
    T: TryFrom<W, Error = UnreadableMessage>,
{
    let outer: W = parse(body)?;
    match parse::<Envelope>(body)?.message {
        Some(inner) if !is_raw(&outer) => parse::<W>(&inner)?.try_into(),
        _ => outer.try_into(),
    }
}

impl Received {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// [`UnreadableMessage`] when the body is something else. Leave such a message to the queue's redrive
    /// policy.
    pub fn read(body: &str) -> Result<Self, UnreadableMessage> {
        let outer: Wire<'_> = parse(body)?;
        match outer.message {
            Some(inner) if outer.stream_id.is_none() => parse::<Wire<'_>>(&inner)?.try_into(),
            _ => outer.try_into(),
        }
    }

    /// The stream it is about.
    pub fn stream_id(&self) -> &StreamId {
        match self {
            Self::Changeset { stream_id, .. } | Self::Event { stream_id, .. } => stream_id,
        }
    }

    /// The changeset it is about.
    pub fn changeset_id(&self) -> ChangesetId {
        match self {
            Self::Changeset { changeset_id, .. } | Self::Event { changeset_id, .. } => *changeset_id,
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    stream_id: Option<String>,
    changeset_id: Option<ChangesetId>,
    event_id: Option<EventId>,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    truncated: bool,
    /// The message itself, in the envelope that SNS puts it into.
    #[serde(rename = "Message")]
    message: Option<String>,
}

/// `null` is an event like any other.
fn even_null<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, UnreadableMessage> {
    serde_json::from_str(text).map_err(|e| UnreadableMessage(e.to_string()))
}

impl TryFrom<Wire<'_>> for Received {
    type Error = UnreadableMessage;

    fn try_from(wire: Wire<'_>) -> Result<Self, UnreadableMessage> {
        let refuse = |why: &str| UnreadableMessage(why.to_owned());
        let invalid = |e: &dyn std::fmt::Display| UnreadableMessage(e.to_string());
        let stream_id = wire.stream_id.ok_or_else(|| refuse("no `stream_id`"))?;
        let stream_id = stream_id.parse::<StreamId>().map_err(|e| invalid(&e))?;
        let changeset_id = wire.changeset_id.ok_or_else(|| refuse("no `changeset_id`"))?;
        if let Some(event_id) = wire.event_id {
            let data = wire.data.map(|data| Json::parse(data.get())).transpose().map_err(|e| invalid(&e))?;
            if data.is_none() && !wire.truncated {
                return Err(refuse("no `data`"));
            }
            return Ok(Self::Event { stream_id, changeset_id, event_id, data });
        }
        let content = match (wire.events, wire.metadata) {
            _ if wire.truncated => None,
            (Some(events), Some(metadata)) => {
                let events = Events::parse(events.get()).map_err(|e| invalid(&e))?;
                Some((events, Json::parse(metadata.get()).map_err(|e| invalid(&e))?))
            }
            _ => return Err(refuse("neither `events` and `metadata` nor `event_id`")),
        };
        Ok(Self::Changeset { stream_id, changeset_id, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Message;
    use crate::{Changeset, Timestamp};

    fn changeset(stream: &str, events: &str) -> Changeset {
        Changeset {
            stream_id: stream.parse().unwrap(),
            changeset_id: 3.into(),
            first_event_id: 7.into(),
            events: Events::parse(events).unwrap(),
            metadata: Json::parse(r#"{"by":"ada"}"#).unwrap(),
            timestamp: Timestamp::from_micros(0),
            stream_type: None,
            trace: None,
        }
    }

    #[test]
    fn what_was_sent_is_what_is_received() {
        let sent = changeset("a\u{fffe}\"b", "[null,1e400]");
        let Ok(Received::Changeset { stream_id, changeset_id, content }) =
            Received::read(Message::of_changeset(&sent).unwrap().body())
        else {
            panic!("no changeset")
        };
        assert_eq!((stream_id, changeset_id), (sent.stream_id.clone(), sent.changeset_id));
        assert_eq!(content, Some((sent.events.clone(), sent.metadata.clone())));
        let events: Vec<_> =
            Message::of_events(&sent).unwrap().map(|it| Received::read(it.body()).unwrap()).collect();
        let Received::Event { event_id, data, .. } = &events[0] else { panic!("no event") };
        assert_eq!((event_id.get(), data.as_ref().unwrap().as_str()), (7, "null"));
    }

    #[test]
    fn what_was_too_large_is_received_as_a_reference() {
        let sent = changeset("a", &format!("[\"{}\"]", "-".repeat(300_000)));
        let read = |message: &Message| Received::read(message.body()).unwrap();
        assert!(matches!(
            read(&Message::of_changeset(&sent).unwrap()),
            Received::Changeset { content: None, .. }
        ));
        let event = Message::of_events(&sent).unwrap().next().unwrap();
        assert!(matches!(read(&event), Received::Event { data: None, .. }));
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (body, why) in [
            ("", "EOF"),
            ("{}", "stream_id"),
            (r#"{"stream_id":"a"}"#, "changeset_id"),
            (r#"{"stream_id":"a","changeset_id":1}"#, "events"),
            (r#"{"stream_id":"a","changeset_id":1,"events":[],"metadata":{}}"#, "at least one"),
            (r#"{"stream_id":"a","changeset_id":1,"event_id":1}"#, "data"),
            (r#"{"stream_id":"","changeset_id":1,"event_id":1,"data":1}"#, "empty"),
            (r#"{"Type":"Notification","Message":"hello"}"#, "expected value"),
        ] {
            let error = Received::read(body).unwrap_err().to_string();
            assert!(error.contains(why), "{body}: {error}");
        }
    }
}
