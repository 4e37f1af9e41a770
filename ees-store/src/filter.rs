//! Which changesets a reader of the log wants.

use serde::de::DeserializeOwned;

use crate::event::types_of;
use crate::{Changeset, StreamType, json};

/// Which changesets a reader of the log wants; the default is all.
///
/// Both conditions hold at once; within one, any of its names will do. A changeset comes whole: one event of a
/// wanted type is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Streams of one of these types; empty is any, and streams without a type too.
    pub stream_types: Vec<StreamType>,
    /// With an event whose `type` member is one of these; empty is any.
    pub event_types: Vec<String>,
}

impl Filter {
    /// Streams of this type.
    pub fn stream_type(stream_type: StreamType) -> Self {
        Self { stream_types: vec![stream_type], ..Self::default() }
    }

    /// Changesets with an event of one of these types.
    pub fn event_types<T: Into<String>>(types: impl IntoIterator<Item = T>) -> Self {
        Self { event_types: types.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Changesets with an event of one of the types that an enum names; all of them if it takes every event.
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

    /// Whether everything passes.
    pub fn is_all(&self) -> bool {
        self.stream_types.is_empty() && self.event_types.is_empty()
    }

    /// Whether a changeset passes.
    pub fn accepts(&self, changeset: &Changeset) -> bool {
        let stream = self.stream_types.is_empty()
            || changeset.stream_type.as_ref().is_some_and(|name| self.stream_types.contains(name));
        stream
            && (self.event_types.is_empty() || changeset.events.iter().any(|event| self.accepts_event(event)))
    }

    /// Whether an event is of a wanted type.
    pub fn accepts_event(&self, event: &str) -> bool {
        self.event_types.is_empty() || self.accepts_type(json::event_type(event).as_deref())
    }

    /// Whether events of this type are wanted.
    pub fn accepts_type(&self, event_type: Option<&str>) -> bool {
        self.event_types.is_empty()
            || event_type.is_some_and(|name| self.event_types.iter().any(|wanted| wanted == name))
    }
}
