//! The exact form of messages.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sha2::{Digest, Sha224};
use uuid::Uuid;

use super::BATCH_BYTES_MAX;
use crate::{Changeset, ChangesetId, EventId, Quarantined, StreamId, TraceContext, json};

/// A message about a changeset or an event, or a notification about a typed stream.
///
/// ```
/// use ees_store::publish::Message;
/// # use ees_store::{Changeset, Events, Json, Timestamp};
/// # let changeset = Changeset {
/// #     stream_id: "account/42".parse()?, changeset_id: 1.into(), first_event_id: 1.into(),
/// #     events: Events::parse(r#"[{"type": "opened"}]"#)?, metadata: Json::parse("{}")?,
/// #     timestamp: Timestamp::from_micros(0), stream_type: None, trace: None,
/// # };
/// let message = Message::of_changeset(&changeset)?;
/// assert_eq!(message.body(), r#"{"stream_id":"account/42","changeset_id":1,"events":[{"type":"opened"}],"metadata":{}}"#);
/// let event = Message::of_events(&changeset)?.next();
/// assert_eq!(event.unwrap().body(), r#"{"stream_id":"account/42","changeset_id":1,"event_id":1,"data":{"type":"opened"}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    stream_id: StreamId,
    changeset_id: ChangesetId,
    event_id: Option<EventId>,
    is_notification: bool,
    group_id: String,
    body: String,
    attributes: Vec<Attribute>,
}

/// What is sent beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) data_type: &'static str,
    pub(super) value: String,
}

impl Attribute {
    /// The size that counts towards the limit of a message.
    fn size_bytes(&self) -> usize {
        self.name.len() + self.data_type.len() + self.value.len()
    }
}

impl Message {
    /// The message about a changeset.
    ///
    /// A message larger than [`BATCH_BYTES_MAX`], attributes included, has no `events` and `metadata`, but
    /// `"truncated":true`: the subscriber reads the changeset from the store.
    ///
    /// # Errors
    /// [`Quarantined`] when the changeset can't be read.
    pub fn of_changeset(changeset: &Changeset) -> Result<Self, Quarantined> {
        let types = changeset.events.iter()?.filter_map(json::event_type);
        let place = format!(
            r#"{{"stream_id":{},"changeset_id":{}"#,
            quoted(changeset.stream_id.as_str()),
            changeset.changeset_id
        );
        let content =
            format!(r#","events":{},"metadata":{}"#, changeset.events.as_json()?, changeset.metadata);
        Ok(Self::of(changeset, None, types, &place, &content))
    }

    /// The messages about a changeset's events, in order.
    ///
    /// A message that is too large has no `data`, but `"truncated":true`.
    ///
    /// # Errors
    /// [`Quarantined`] when the changeset can't be read.
    pub fn of_events(changeset: &Changeset) -> Result<impl Iterator<Item = Self>, Quarantined> {
        Ok(changeset.numbered_events()?.map(|(event_id, event)| {
            let place = format!(
                r#"{{"stream_id":{},"changeset_id":{},"event_id":{event_id}"#,
                quoted(changeset.stream_id.as_str()),
                changeset.changeset_id
            );
            let content = format!(r#","data":{event}"#);
            Self::of(changeset, Some(event_id), json::event_type(event).into_iter(), &place, &content)
        }))
    }

    /// The notification, for a standard topic, about the revision of a typed stream whose id is a UUID;
    /// `None` for other streams.
    pub fn of_notification(changeset: &Changeset) -> Option<Self> {
        let stream_type = changeset.stream_type.as_ref()?;
        let stream_id = changeset.stream_id.as_str();
        Uuid::try_parse(stream_id).ok().filter(|uuid| uuid.to_string() == stream_id)?;
        let body = format!(
            r#"{{"StreamId":"{stream_id}","StreamType":{},"StreamRevision":"{}"}}"#,
            quoted(stream_type.as_str()),
            changeset.last_event_id()
        );
        let value = sendable(stream_type.as_str()).into_owned();
        let notification = Self {
            stream_id: changeset.stream_id.clone(),
            changeset_id: changeset.changeset_id,
            event_id: None,
            is_notification: true,
            group_id: group_id(&changeset.stream_id),
            body: sendable(&body).into_owned(),
            attributes: vec![Attribute { name: NOTIFIED_TYPE, data_type: "String", value }],
        };
        Some(notification.traced(changeset))
    }

    fn of<'a>(
        changeset: &Changeset,
        event_id: Option<EventId>,
        types: impl Iterator<Item = Cow<'a, str>>,
        place: &str,
        content: &str,
    ) -> Self {
        let whole = sendable(&format!("{place}{content}}}")).into_owned();
        let mut message = Self {
            stream_id: changeset.stream_id.clone(),
            changeset_id: changeset.changeset_id,
            event_id,
            is_notification: false,
            group_id: group_id(&changeset.stream_id),
            body: whole,
            attributes: attributes(changeset, types),
        };
        if message.size_bytes() > BATCH_BYTES_MAX {
            message.body = sendable(&format!(r#"{place},"truncated":true}}"#)).into_owned();
        }
        if message.size_bytes() > BATCH_BYTES_MAX {
            // More names of types than fit any message: nobody can be told of all of them.
            message.attributes.retain(|attribute| attribute.name != EVENT_TYPES);
        }
        message.traced(changeset)
    }

    /// Adds the changeset's trace as far as there is room: a trace never changes what is sent besides.
    fn traced(mut self, changeset: &Changeset) -> Self {
        for (name, value) in changeset.trace.iter().flat_map(TraceContext::headers) {
            let attribute = Attribute { name, data_type: "String", value: value.to_owned() };
            if self.size_bytes() + attribute.size_bytes() > BATCH_BYTES_MAX {
                break;
            }
            self.attributes.push(attribute);
        }
        self
    }

    /// The stream it is about.
    pub fn stream_id(&self) -> &StreamId {
        &self.stream_id
    }

    /// The changeset it is about.
    pub fn changeset_id(&self) -> ChangesetId {
        self.changeset_id
    }

    /// The event that it is about, if it is about one.
    pub fn event_id(&self) -> Option<EventId> {
        self.event_id
    }

    /// Returns whether it is for a standard topic, which has no order.
    pub fn is_notification(&self) -> bool {
        self.is_notification
    }

    /// Its message group: on FIFO topics, messages of one group arrive in order.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// The body, as sent.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The attributes that a subscription can filter by, and those with the trace: name, data type, value.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.attributes.iter().map(|it| (it.name, it.data_type, it.value.as_str()))
    }

    /// The size in bytes that the limit applies to: the body, and the names, types and values of the
    /// attributes.
    pub fn size_bytes(&self) -> usize {
        self.body.len() + self.attributes.iter().map(Attribute::size_bytes).sum::<usize>()
    }
}

const STREAM_TYPE: &str = "stream_type";
/// Of a notification.
const NOTIFIED_TYPE: &str = "StreamType";
const EVENT_TYPES: &str = "event_types";

/// `event_types` is an array, so that a subscription's filter matches any of its elements.
fn attributes<'a>(changeset: &Changeset, types: impl Iterator<Item = Cow<'a, str>>) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    if let Some(stream_type) = &changeset.stream_type {
        let value = sendable(stream_type.as_str()).into_owned();
        attributes.push(Attribute { name: STREAM_TYPE, data_type: "String", value });
    }
    let mut seen = BTreeSet::new();
    let mut names = String::new();
    for name in types {
        let name = quoted(&name);
        if !seen.contains(&name) {
            names.push(if names.is_empty() { '[' } else { ',' });
            names.push_str(&name);
            seen.insert(name);
        }
    }
    // An attribute must not be empty: without types there is none.
    if !names.is_empty() {
        names.push(']');
        let value = sendable(&names).into_owned();
        attributes.push(Attribute { name: EVENT_TYPES, data_type: "String.Array", value });
    }
    attributes
}

/// The message group of a stream: the lower-case hex SHA-224 of its id.
pub fn group_id(stream_id: &StreamId) -> String {
    hex::encode(Sha224::digest(stream_id.as_str()))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON without the two characters that SNS and SQS refuse. They stand in strings only, where an escape means
/// the same.
fn sendable(json: &str) -> Cow<'_, str> {
    if !json.contains(['\u{fffe}', '\u{ffff}']) {
        return Cow::Borrowed(json);
    }
    Cow::Owned(json.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Events, Json, StreamType, Timestamp};

    fn changeset(stream: &str, events: &str, metadata: &str) -> Changeset {
        Changeset {
            stream_id: stream.parse().unwrap(),
            changeset_id: 3.into(),
            first_event_id: 7.into(),
            events: Events::parse(events).unwrap(),
            metadata: Json::parse(metadata).unwrap(),
            timestamp: Timestamp::from_micros(0),
            stream_type: None,
            trace: None,
        }
    }

    fn attributes_of(message: &Message) -> Vec<(&str, &str, &str)> {
        message.attributes().collect()
    }

    #[test]
    fn a_trace_is_two_attributes_and_changes_no_body() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = |list: Option<&str>| TraceContext::from_headers(parent, list);
        let untraced = |events: &str| Changeset {
            stream_type: Some("t".parse().unwrap()),
            ..changeset("9f86d081-884c-4d65-9a2f-eaa0c55ad015", events, "{}")
        };
        let messages = |changeset: &Changeset| -> Vec<Message> {
            let each = Message::of_events(changeset).unwrap();
            let notification = Message::of_notification(changeset);
            [Message::of_changeset(changeset).unwrap()].into_iter().chain(each).chain(notification).collect()
        };
        let plain = untraced(r#"[{"type":"a"},7]"#);
        for list in [None, Some("a=1,b=2")] {
            let traced = Changeset { trace: trace(list), ..plain.clone() };
            for (message, before) in messages(&traced).iter().zip(messages(&plain)) {
                assert_eq!(message.body(), before.body());
                let state = list.map(|list| ("tracestate", "String", list));
                let added = [("traceparent", "String", parent)].into_iter().chain(state);
                assert_eq!(attributes_of(message), before.attributes().chain(added).collect::<Vec<_>>());
            }
        }

        let around = format!(r#"[{{"type":"a","b":"{}"}}]"#, "-".repeat(BATCH_BYTES_MAX - 700));
        let left = BATCH_BYTES_MAX - Message::of_changeset(&untraced(&around)).unwrap().size_bytes();
        let list = format!("a={}", "~".repeat(200));
        for (free, names) in [
            (72 + 218, &["stream_type", "event_types", "traceparent", "tracestate"][..]),
            (72 + 217, &["stream_type", "event_types", "traceparent"]),
            (72, &["stream_type", "event_types", "traceparent"]),
            (71, &["stream_type", "event_types"]),
            (0, &["stream_type", "event_types"]),
        ] {
            let events = around.replace("\"}]", &format!("{}\"}}]", "-".repeat(left - free)));
            let plain = untraced(&events);
            let message =
                Message::of_changeset(&Changeset { trace: trace(Some(&list)), ..plain.clone() }).unwrap();
            assert_eq!(message.body(), Message::of_changeset(&plain).unwrap().body());
            assert!(message.body().contains("events") && message.size_bytes() <= BATCH_BYTES_MAX);
            assert_eq!(message.attributes().map(|(name, ..)| name).collect::<Vec<_>>(), names, "{free}");
        }
    }

    #[test]
    fn a_changeset_is_sent_as_it_was_committed() {
        let changeset =
            changeset("a \"b\"/ü", r#"[{"b":1.0,"a":1e400},7,"\ud800"]"#, r#"{"by":"ada","by":"eve"}"#);
        let message = Message::of_changeset(&changeset).unwrap();
        assert_eq!(
            message.body(),
            r#"{"stream_id":"a \"b\"/ü","changeset_id":3,"events":[{"b":1.0,"a":1e400},7,"\ud800"],"metadata":{"by":"ada","by":"eve"}}"#
        );
        assert_eq!(attributes_of(&message), []);
    }

    #[test]
    fn each_event_is_sent_with_its_number_in_the_stream() {
        let changeset = changeset("a", r#"[{"type":"x"},[1,2]]"#, "{}");
        let events: Vec<_> = Message::of_events(&changeset).unwrap().collect();
        assert_eq!(
            events[0].body(),
            r#"{"stream_id":"a","changeset_id":3,"event_id":7,"data":{"type":"x"}}"#
        );
        assert_eq!(events[1].body(), r#"{"stream_id":"a","changeset_id":3,"event_id":8,"data":[1,2]}"#);
        assert_eq!(attributes_of(&events[0]), [("event_types", "String.Array", r#"["x"]"#)]);
        assert_eq!((attributes_of(&events[1]), events[1].event_id()), (vec![], Some(8.into())));
    }

    #[test]
    fn a_notification_says_which_stream_is_at_which_revision() {
        let id = "9f86d081-884c-4d65-9a2f-eaa0c55ad015";
        let mut changeset = changeset(id, "[1,2]", "{}");
        assert_eq!(Message::of_notification(&changeset), None, "a stream without a type");
        changeset.stream_type = Some(StreamType::new("an \"account\"").unwrap());
        let message = Message::of_notification(&changeset).unwrap();
        let body = format!(r#"{{"StreamId":"{id}","StreamType":"an \"account\"","StreamRevision":"8"}}"#);
        assert_eq!((message.body(), message.is_notification()), (body.as_str(), true));
        assert_eq!(attributes_of(&message), [("StreamType", "String", "an \"account\"")]);
        for other in ["a", "9F86D081-884C-4D65-9A2F-EAA0C55AD015", "9f86d081884c4d659a2feaa0c55ad015"] {
            changeset.stream_id = other.parse().unwrap();
            assert_eq!(Message::of_notification(&changeset), None, "{other}");
        }
    }

    #[test]
    fn the_group_is_the_hash_of_the_stream_id() {
        let group = |id: &str| group_id(&id.parse().unwrap());
        assert_eq!(group("abc"), "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
        assert_eq!(Message::of_changeset(&changeset("abc", "[1]", "{}")).unwrap().group_id(), group("abc"));
    }

    #[test]
    fn a_subscription_can_filter_by_the_types() {
        let mut changeset = changeset("a", r#"[{"type":"x"},{"type":"y"},{"type":"x"},{"type":7},5]"#, "{}");
        changeset.stream_type = Some(StreamType::new("account").unwrap());
        let message = Message::of_changeset(&changeset).unwrap();
        let expected =
            [("stream_type", "String", "account"), ("event_types", "String.Array", r#"["x","y"]"#)];
        assert_eq!(attributes_of(&message), expected);
    }

    #[test]
    fn characters_that_are_refused_are_sent_as_escapes() {
        let mut changeset =
            changeset("a\u{fffe}", "[{\"type\":\"\u{ffff}\"},\"\\\\\u{ffff}\"]", "{\"\u{fffe}\":1}");
        changeset.stream_type = Some(StreamType::new("t\u{ffff}").unwrap());
        let message = Message::of_changeset(&changeset).unwrap();
        assert_eq!(
            message.body(),
            r#"{"stream_id":"a\ufffe","changeset_id":3,"events":[{"type":"\uffff"},"\\\uffff"],"metadata":{"\ufffe":1}}"#
        );
        assert_eq!(
            message.group_id(),
            group_id(&changeset.stream_id),
            "of the id itself, not of its escapes"
        );
        let expected =
            [("stream_type", "String", r"t\uffff"), ("event_types", "String.Array", r#"["\uffff"]"#)];
        assert_eq!(attributes_of(&message), expected);
    }

    #[test]
    fn what_just_fits_is_sent_whole_and_one_byte_more_by_reference() {
        let mut padding = 0;
        let sized = |padding: usize| {
            changeset("a", &format!(r#"[{{"type":"x","text":"{}"}}]"#, "-".repeat(padding)), "{}")
        };
        padding += BATCH_BYTES_MAX - Message::of_changeset(&sized(padding)).unwrap().size_bytes();
        let whole = Message::of_changeset(&sized(padding)).unwrap();
        assert_eq!((whole.size_bytes(), BATCH_BYTES_MAX), (262_144, 262_144));
        assert!(whole.body().contains("events"));
        let cut = Message::of_changeset(&sized(padding + 1)).unwrap();
        assert_eq!(cut.body(), r#"{"stream_id":"a","changeset_id":3,"truncated":true}"#);
        assert_eq!(attributes_of(&cut), attributes_of(&whole), "and still found by a filter");

        let cut = Message::of_events(&sized(BATCH_BYTES_MAX)).unwrap().next().unwrap();
        assert_eq!(cut.body(), r#"{"stream_id":"a","changeset_id":3,"event_id":7,"truncated":true}"#);
    }

    #[test]
    fn more_types_than_fit_are_not_sent() {
        let events: Vec<_> = (0..3_000).map(|n| format!(r#"{{"type":"{n:0100}"}}"#)).collect();
        let message =
            Message::of_changeset(&changeset("a", &format!("[{}]", events.join(",")), "{}")).unwrap();
        assert_eq!(message.body(), r#"{"stream_id":"a","changeset_id":3,"truncated":true}"#);
        assert_eq!(attributes_of(&message), []);
    }
}
