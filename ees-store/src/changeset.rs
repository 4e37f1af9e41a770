//! What one commit appended to one stream.

use crate::json::{self, Json};
use crate::{ChangesetId, Checkpoint, EventId, Quarantined, StreamId, StreamType, Timestamp, TraceContext};

/// What one commit appended to one stream: one or more events, and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changeset {
    /// The stream it belongs to.
    pub stream_id: StreamId,
    /// Its number in the stream, from 1.
    pub changeset_id: ChangesetId,
    /// The number of its first event in the stream.
    pub first_event_id: EventId,
    /// Its events.
    pub events: Events,
    /// A JSON object about the commit; `{}` when none was given.
    pub metadata: Json,
    /// When it was committed; never before its predecessor in the stream.
    pub timestamp: Timestamp,
    /// The type of its stream, set by the stream's first commit.
    pub stream_type: Option<StreamType>,
    /// The trace that the commit belongs to, if it was given.
    pub trace: Option<TraceContext>,
}

impl Changeset {
    /// The number of its last event in the stream.
    pub fn last_event_id(&self) -> EventId {
        EventId::new(self.first_event_id.get().saturating_add(self.events.count()).saturating_sub(1))
    }

    /// Its events, each with its number in the stream.
    ///
    /// # Errors
    /// [`Quarantined`] when the changeset can't be read.
    pub fn numbered_events(&self) -> Result<impl Iterator<Item = (EventId, &str)>, Quarantined> {
        Ok((self.first_event_id.get()..).map(EventId::new).zip(self.events.iter()?))
    }

    /// The text of its metadata as it is stored: JSON, unless the changeset can't be read.
    pub fn metadata_as_stored(&self) -> &str {
        self.events.quarantined().map_or(self.metadata.as_str(), Quarantined::metadata)
    }

    /// The size of its events and metadata in bytes, as stored.
    pub fn size_bytes(&self) -> usize {
        self.events.as_stored().len() + self.metadata_as_stored().len()
    }
}

impl AsRef<Changeset> for Changeset {
    fn as_ref(&self) -> &Changeset {
        self
    }
}

/// A changeset with its position in the global order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its position in the order over all streams, from 0.
    pub checkpoint: Checkpoint,
    /// The changeset.
    pub changeset: Changeset,
}

impl std::ops::Deref for LogEntry {
    type Target = Changeset;
    fn deref(&self) -> &Changeset {
        &self.changeset
    }
}

/// The events of one changeset: at least one, each any JSON. Or the reason why they can't be read.
///
/// ```
/// use ees_store::Events;
/// let events = Events::parse(r#"[{"type": "opened"}, 7]"#)?;
/// assert_eq!(events.iter()?.collect::<Vec<_>>(), [r#"{"type":"opened"}"#, "7"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    body: Result<Json, Quarantined>,
    count: u64,
}

impl Events {
    /// Reads a JSON array of events.
    ///
    /// # Errors
    /// [`InvalidJson`](crate::InvalidJson) when the text is not a JSON array, is empty, or an event nests
    /// deeper than [`Json::DEPTH_MAX`].
    pub fn parse(array: &str) -> Result<Self, crate::InvalidJson> {
        let raw: &serde_json::value::RawValue =
            serde_json::from_str(array).map_err(|e| crate::InvalidJson(e.to_string()))?;
        Self::from_valid(raw.get())
    }

    /// Serializes values as events.
    ///
    /// # Errors
    /// [`InvalidJson`](crate::InvalidJson) when the slice is empty, or a value can't be serialized as JSON.
    pub fn of<T: serde::Serialize>(events: &[T]) -> Result<Self, crate::InvalidJson> {
        let text = serde_json::to_string(events).map_err(|e| crate::InvalidJson(e.to_string()))?;
        Self::from_valid(&text)
    }

    pub(crate) fn from_valid(array: &str) -> Result<Self, crate::InvalidJson> {
        let refuse = |why: &str| Err(crate::InvalidJson(why.to_owned()));
        if !array.starts_with('[') {
            return refuse("`events` must be an array");
        }
        let array = Json::from_valid(array, Json::DEPTH_MAX + 1)?;
        let count = json::elements(array.as_str()).count() as u64;
        if count == 0 {
            return refuse("`events` must hold at least one event");
        }
        Ok(Self { body: Ok(array), count })
    }

    /// Events that were checked and counted before they were stored.
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "client"))]
    pub(crate) fn stored(array: &str, count: u64) -> Self {
        Self { body: Ok(Json::stored(array)), count }
    }

    /// What another system has stored: any JSON, with the number of events that it counted there. What is not
    /// an array holds no event that can be read.
    ///
    /// For importing a log. A store accepts it from a program, but not over HTTP.
    pub fn adopted(json: Json, count: u64) -> Self {
        Self { body: Ok(json), count }
    }

    /// Events that can't be read, and their number as far as it is known.
    ///
    /// For importing a log, and for a backend of your own.
    pub fn quarantine(quarantined: Quarantined, count: u64) -> Self {
        Self { body: Err(quarantined), count }
    }

    /// The number of events: at least one, unless another system has stored them.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Why they can't be read; `None` if they can.
    pub fn quarantined(&self) -> Option<&Quarantined> {
        self.body.as_ref().err()
    }

    /// The JSON array.
    ///
    /// # Errors
    /// [`Quarantined`] when they can't be read.
    pub fn as_json(&self) -> Result<&Json, Quarantined> {
        self.body.as_ref().map_err(Clone::clone)
    }

    /// The text as it is stored: JSON, unless they can't be read.
    pub fn as_stored(&self) -> &str {
        match &self.body {
            Ok(json) => json.as_str(),
            Err(quarantined) => quarantined.events(),
        }
    }

    /// The JSON text of each event, in order.
    ///
    /// # Errors
    /// [`Quarantined`] when they can't be read.
    pub fn iter(&self) -> Result<impl Iterator<Item = &str>, Quarantined> {
        Ok(json::elements(self.as_json()?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Commit, Expectation};

    #[test]
    fn events_are_a_list_of_at_least_one() {
        for bad in ["[]", "{}", "7", "\"[1]\"", "[1", " [ ] "] {
            assert!(Events::parse(bad).is_err(), "{bad}");
        }
        let events = Events::parse(" [ 1 , [2,3] ] ").unwrap();
        assert_eq!((events.count(), events.as_stored()), (2, "[1,[2,3]]"));
    }

    #[test]
    fn each_event_may_nest_as_deep_as_json_may() {
        let nested = |depth: usize| format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
        assert!(Events::parse(&nested(128)).is_ok());
        let told = Events::parse(&nested(129)).unwrap_err().to_string();
        assert_eq!(
            told, "the JSON nests 129 levels deep; 128 are allowed",
            "the list around them does not count"
        );
        let metadata = format!("{{\"a\":{}}}", nested(127));
        let metadata: Json = serde_json::from_str(&metadata).unwrap();
        let commit = Commit::new("a".parse().unwrap(), Expectation::NewStream, Events::parse("[1]").unwrap());
        let told = commit.with_metadata(metadata).unwrap_err().to_string();
        assert_eq!(told, "the JSON nests 129 levels deep; 128 are allowed");
    }
}
