//! What a projection is given: an event with its place, read as the type the projection asks for.

use std::fmt;

use ees_store::{
    Changeset, ChangesetId, Checkpoint, EventId, Indexed, Json, StreamId, StreamType, Timestamp, json,
};
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;

/// One event, with all that is known of it.
#[derive(Debug)]
pub struct Recorded<'a, E> {
    /// The event as the projection's own type.
    pub event: &'a E,
    /// Its number in its stream, from 1.
    pub event_id: EventId,
    changeset: &'a Indexed,
}

// Derived, they would ask for `E: Clone`.
impl<E> Clone for Recorded<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for Recorded<'_, E> {}

impl<'a, E> Recorded<'a, E> {
    pub(crate) fn new(event: &'a E, event_id: EventId, changeset: &'a Indexed) -> Self {
        Self { event, event_id, changeset }
    }

    /// The stream it was committed to.
    pub fn stream_id(&self) -> &'a StreamId {
        &self.changeset.changeset.stream_id
    }

    /// The number of its changeset in the stream, from 1.
    pub fn changeset_id(&self) -> ChangesetId {
        self.changeset.changeset_id
    }

    /// The place of its changeset in the global order.
    pub fn checkpoint(&self) -> Checkpoint {
        self.changeset.checkpoint
    }

    /// When it was committed.
    pub fn timestamp(&self) -> Timestamp {
        self.changeset.timestamp
    }

    /// The type of its stream.
    pub fn stream_type(&self) -> Option<&'a StreamType> {
        self.changeset.changeset.stream_type.as_ref()
    }

    /// The metadata of its changeset.
    pub fn metadata(&self) -> &'a Json {
        &self.changeset.changeset.metadata
    }

    /// Whether it is the first event of its changeset: for what counts changesets.
    pub fn begins_changeset(&self) -> bool {
        self.event_id == self.changeset.first_event_id
    }

    /// The whole changeset.
    pub fn changeset(&self) -> &'a Changeset {
        &self.changeset.changeset
    }
}

/// An event that is the projection's, and can't be read: the text does not fit the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event_id} can't be read: {reason}")]
pub struct UnreadableEvent {
    /// The event's number in its stream.
    pub event_id: EventId,
    /// What does not fit, and where.
    pub reason: String,
}

/// Reads an event as an `E`; `None` when it is not one of `E`'s.
///
/// Told apart by serde itself: of an enum tagged with `type`, an event of a type that the enum does not name is *not
/// mine*; one that it names, but that does not fit, is *mine but unreadable*. Other types (structs, untagged enums)
/// take every event as theirs: give such a projection a [`Filter`](ees_store::Filter).
///
/// # Errors
/// Why the event does not fit.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum Account { Opened { owner: String } }
///
/// let read = ees_projector::read_event::<Account>;
/// assert!(matches!(read(r#"{"type": "opened", "owner": "ada"}"#), Ok(Some(Account::Opened { .. }))));
/// assert!(matches!(read(r#"{"type": "shipped"}"#), Ok(None)));
/// assert!(read(r#"{"type": "opened"}"#).is_err());
/// ```
pub fn read_event<E: DeserializeOwned>(event: &str) -> Result<Option<E>, String> {
    match serde_json::from_str(event) {
        Ok(read) => Ok(Some(read)),
        Err(_) if is_foreign::<E>(event) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Shows the type nothing but the tag: an enum that does not know it says so before it asks for anything else.
fn is_foreign<E: DeserializeOwned>(event: &str) -> bool {
    let tag = json::event_type(event);
    let has_tag = tag.is_some();
    let only_the_tag = tag.into_iter().map(|name| ("type", name));
    match E::deserialize(MapDeserializer::<_, Probe>::new(only_the_tag)) {
        Err(Probe::UnknownVariant) => true,
        Err(Probe::NoTag) => !has_tag,
        Err(Probe::Other) | Ok(_) => false,
    }
}

/// What a type says of a tag.
#[derive(Debug)]
enum Probe {
    UnknownVariant,
    NoTag,
    Other,
}

impl serde::de::Error for Probe {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownVariant
    }
    fn missing_field(field: &'static str) -> Self {
        if field == "type" { Self::NoTag } else { Self::custom(field) }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Probe {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    enum Currency {
        Euro,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Inside {
        Opened,
        Paid { currency: Currency },
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "type", content = "payload", rename_all = "snake_case")]
    enum Beside {
        Paid(u32),
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Plain {
        amount: u32,
    }

    #[test]
    fn an_event_of_an_unknown_type_is_not_mine() {
        for foreign in [r#"{"type":"shipped"}"#, r#"{"amount":1}"#, "7", "[]", r#"{"type":7}"#] {
            assert_eq!(read_event::<Inside>(foreign), Ok(None), "{foreign}");
        }
        assert_eq!(read_event::<Beside>(r#"{"type":"shipped","payload":1}"#), Ok(None));
    }

    #[test]
    fn an_event_of_a_known_type_that_does_not_fit_is_an_error() {
        assert_eq!(read_event::<Inside>(r#"{"type":"opened"}"#), Ok(Some(Inside::Opened)));
        for broken in [
            r#"{"type":"paid"}"#,
            r#"{"type":"paid","currency":"Dollar"}"#,
            r#"{"type":"paid","currency":1}"#,
        ] {
            assert!(read_event::<Inside>(broken).is_err(), "{broken}");
        }
        assert!(read_event::<Beside>(r#"{"type":"paid"}"#).is_err());
        assert!(read_event::<Beside>(r#"{"type":"paid","payload":"x"}"#).is_err());
    }

    #[test]
    fn a_type_without_a_tag_takes_every_event() {
        assert_eq!(read_event(r#"{"amount":1}"#), Ok(Some(Plain { amount: 1 })));
        assert!(read_event::<Plain>(r#"{"type":"shipped"}"#).is_err());
    }
}
