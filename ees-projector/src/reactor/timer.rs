//! Timers: what a reactor has set to happen later, as its database keeps it.

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::EffectId;

/// A timer of a reactor: it fires once, at its time or soon after. Each stream has its own timers, by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Timer {
    /// The stream of the event that set it.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The key. A stream has one timer with this key at most.
    pub key: String,
    /// Tells it from the timers that had the same key before: 16 hexadecimal digits.
    pub id: String,
    /// When it is due.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub due: Timestamp,
    /// What it was given for later.
    #[cfg_attr(feature = "http", schema(value_type = serde_json::Value))]
    pub payload: Json,
    /// The changeset of the event that set it. For a timer that a firing set: that of the timer that fired.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// The number of that event in its stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub event_id: EventId,
    /// When it was set.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub set_at: Timestamp,
    /// How often it fired and failed.
    pub attempts: u32,
    /// When it fires: when it is due, or after a failure the time of the next attempt.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub next_at: Timestamp,
    /// The error of the last attempt.
    pub error: Option<String>,
}

impl Timer {
    /// Returns its place among the timers of the reactor.
    pub fn place(&self) -> TimerPlace {
        TimerPlace { at: self.next_at, stream_id: self.stream_id.clone(), key: self.key.clone() }
    }

    /// Returns `true` if this is set under its key: it was not cancelled, and no other one has taken its place.
    pub(crate) fn is_still(&self, set: Option<&Self>) -> bool {
        set.is_some_and(|set| set.id == self.id)
    }

    /// Returns the effect that the ledger records for its firing.
    pub(crate) fn firing(&self) -> EffectId {
        EffectId {
            stream_id: self.stream_id.clone(),
            changeset_id: self.changeset_id,
            event_id: self.event_id,
            effect: format!("timer:fire:{}#{}", self.key, self.id),
        }
    }
}

/// The place of a timer in the order in which a reactor's timers fire: by time. A database puts timers of the
/// same time in an order of its own, which does not change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerPlace {
    /// When the timer fires.
    pub at: Timestamp,
    /// Its stream.
    pub stream_id: StreamId,
    /// Its key.
    pub key: String,
}

/// Which timers to return, those first that fire first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerQuery {
    /// Only timers of this stream. Default: all streams.
    pub stream_id: Option<StreamId>,
    /// Only timers after this place. Default: from the first one on.
    pub after: Option<TimerPlace>,
    /// The most timers to return. Default: 100.
    pub limit: usize,
}

impl Default for TimerQuery {
    fn default() -> Self {
        Self { stream_id: None, after: None, limit: 100 }
    }
}

impl TimerQuery {
    /// Returns `true` if the query asks for this timer. For [backends](crate::database::TimerRows).
    pub fn wants(&self, timer: &Timer) -> bool {
        self.stream_id.as_ref().is_none_or(|stream| *stream == timer.stream_id)
            && self.after.as_ref().is_none_or(|after| timer.place() > *after)
    }
}

/// What an effect does to the timers of its stream, in the transaction that records it as done.
#[derive(Clone, Debug)]
pub(crate) enum TimerChange {
    Set(Box<Timer>),
    /// Cancels the timer with this key.
    Cancel(String),
}
