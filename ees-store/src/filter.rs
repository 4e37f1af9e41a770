//! Which changesets a reader of the log wants.

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use crate::event::types_of;
use crate::{Changeset, StreamType, json};

/// Which changesets a reader of the log wants. Default: all.
///
/// A changeset must meet both conditions; any name of a list meets the condition. Changesets are never split:
/// one event of a listed type is enough. A quarantined changeset passes whatever `event_types` says: nobody knows
/// what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only streams of one of these types. If empty: all streams, also those without a type.
    pub stream_types: Vec<StreamType>,
    /// Only changesets with an event whose `type` member is one of these. If empty: all.
    pub event_types: Vec<String>,
}

impl Filter {
    /// Only streams of this type.
    pub fn stream_type(stream_type: StreamType) -> Self {
        Self { stream_types: vec![stream_type], ..Self::default() }
    }

    /// Only changesets with an event of one of these types.
    pub fn event_types<T: Into<String>>(types: impl IntoIterator<Item = T>) -> Self {
        Self { event_types: types.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Only changesets with an event of one of the types that an enum names; all changesets if the enum
    /// accepts every event.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// #[serde(tag = "type", rename_all = "snake_case")]
    /// enum Account { Opened, Closed }
    ///
    /// assert_eq!(ees_store::Filter::events_of::<Account>().event_types, ["opened", "closed"]);
    /// ```
    pub fn events_of<E: DeserializeOwned>() -> Self {
        Self::event_types(types_of::<E>().unwrap_or_default().iter().copied())
    }

    /// Returns whether the filter accepts every changeset.
    pub fn is_all(&self) -> bool {
        self.stream_types.is_empty() && self.event_types.is_empty()
    }

    /// Returns whether the filter accepts a changeset.
    pub fn accepts(&self, changeset: &Changeset) -> bool {
        self.matcher().accepts(changeset)
    }

    /// Returns whether the filter accepts an event.
    pub fn accepts_event(&self, event: &str) -> bool {
        self.event_types.is_empty() || self.accepts_type(json::event_type(event).as_deref())
    }

    /// Returns whether the filter accepts events of this type.
    pub fn accepts_type(&self, event_type: Option<&str>) -> bool {
        self.event_types.is_empty()
            || event_type.is_some_and(|name| self.event_types.iter().any(|wanted| wanted == name))
    }

    /// The filter for a scan: each event costs the same, however many names the filter has.
    pub(crate) fn matcher(&self) -> Matcher<'_> {
        Matcher {
            stream_types: self.stream_types.iter().map(StreamType::as_str).collect(),
            event_types: self.event_types.iter().map(String::as_str).collect(),
        }
    }
}

/// A filter as a scan uses it.
pub(crate) struct Matcher<'a> {
    stream_types: HashSet<&'a str>,
    event_types: HashSet<&'a str>,
}

impl Matcher<'_> {
    /// Returns whether the filter accepts a changeset.
    pub(crate) fn accepts(&self, changeset: &Changeset) -> bool {
        let is_wanted = |event| json::event_type(event).is_some_and(|name| self.event_types.contains(&*name));
        let stream_type = changeset.stream_type.as_ref().map(StreamType::as_str);
        (self.stream_types.is_empty() || stream_type.is_some_and(|name| self.stream_types.contains(name)))
            // Nobody knows what a quarantined one holds: its reader decides.
            && (self.event_types.is_empty()
                || changeset.events.iter().map_or(true, |mut events| events.any(is_wanted)))
    }
}
