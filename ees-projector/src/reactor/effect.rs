//! Effects as the ledger records them.

#[cfg(any(test, feature = "dynamodb"))]
use std::time::Duration;

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

/// Identifies an effect of a reactor: an event and the name of the effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectId {
    /// The stream of the event.
    pub stream_id: StreamId,
    /// The changeset of the event.
    pub changeset_id: ChangesetId,
    /// The number of the event in its stream.
    pub event_id: EventId,
    /// The name of the effect, such as `mail`.
    pub effect: String,
}

/// An effect in the ledger: its state, its attempts and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Effect {
    /// The stream of the event.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The changeset of the event.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// The number of the event in its stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub event_id: EventId,
    /// The name of the effect, such as `mail`.
    pub effect: String,
    /// The state.
    pub state: EffectState,
    /// The number of attempts. More than one after a failure, or after a crash during an attempt.
    pub attempts: u32,
    /// The start of the first attempt.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
    /// The start of the last attempt.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub began_at: Timestamp,
    /// The end of the last attempt. `None` while it is in progress, or if a crash ended it.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>, format = DateTime))]
    pub ended_at: Option<Timestamp>,
    /// The error of the last attempt.
    pub error: Option<String>,
    /// The result, once the effect is done.
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>))]
    pub result: Option<Json>,
}

/// The state of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EffectState {
    /// Started and not ended: it is in progress, or a crash interrupted it.
    Started,
    /// Done. It is not repeated.
    Done,
    /// Failed. It is retried.
    Failed,
    /// Its stream is given up: an operator must retry or discard it. Written as `parked`.
    #[serde(rename = "parked")]
    GivenUp,
    /// An operator decided that it is not to be done.
    Discarded,
}

impl EffectState {
    /// Returns the name of the state in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::GivenUp => "parked",
            Self::Discarded => "discarded",
        }
    }
}

/// The text is not the name of an [`EffectState`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown state of an effect: {0:?}. Use started, done, failed, parked or discarded")]
pub struct UnknownState(String);

impl std::str::FromStr for EffectState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        [Self::Started, Self::Done, Self::Failed, Self::GivenUp, Self::Discarded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// Which effects to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectQuery {
    /// Only effects of this stream's events. Default: all streams.
    pub stream_id: Option<StreamId>,
    /// Only effects in this state. Default: all states.
    pub state: Option<EffectState>,
    /// The most effects to return. Default: 100.
    pub limit: usize,
}

impl Default for EffectQuery {
    fn default() -> Self {
        Self { stream_id: None, state: None, limit: 100 }
    }
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which attempt: [`Effect::attempts`] when it began.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// [`Done`](EffectState::Done) or [`Failed`](EffectState::Failed).
    pub state: EffectState,
    /// The error, if it failed.
    pub error: Option<String>,
    /// The result, if it is done.
    pub result: Option<Json>,
}

impl EffectId {
    /// Returns the effect before its first attempt. For [backends](crate::database::LedgerRows).
    pub fn unstarted(&self, at: Timestamp) -> Effect {
        Effect {
            stream_id: self.stream_id.clone(),
            changeset_id: self.changeset_id,
            event_id: self.event_id,
            effect: self.effect.clone(),
            state: EffectState::Started,
            attempts: 0,
            since: at,
            began_at: at,
            ended_at: None,
            error: None,
            result: None,
        }
    }
}

impl Effect {
    /// Returns the idempotency key that a reactor with this name uses for it
    /// ([`Cause::key`](super::Cause::key)).
    pub fn key(&self, reactor: &str) -> String {
        super::scope::key_of(
            reactor,
            &EffectId {
                stream_id: self.stream_id.clone(),
                changeset_id: self.changeset_id,
                event_id: self.event_id,
                effect: self.effect.clone(),
            },
        )
    }

    /// Starts another attempt. For [backends](crate::database::LedgerRows).
    pub fn record_begin(&mut self, at: Timestamp) {
        self.state = EffectState::Started;
        self.attempts = self.attempts.saturating_add(1);
        self.began_at = at;
        self.ended_at = None;
    }

    /// Ends an attempt. A slower attempt that fails does not change an effect that is done, parked, discarded or
    /// begun again by now. For [backends](crate::database::LedgerRows).
    pub fn record_end(&mut self, ended: Ended) {
        let is_last = self.state == EffectState::Started && self.attempts == ended.attempt;
        let is_news = is_last || ended.state == EffectState::Done;
        if is_news && self.state != EffectState::Done {
            self.state = ended.state;
            self.ended_at = Some(ended.at);
            self.error = ended.error;
            self.result = ended.result;
        }
    }

    /// Returns `true` if the last attempt may still be in progress: it has not ended, and its time is not over. What the
    /// state says does not matter: an operator may have discarded the effect meanwhile.
    #[cfg(any(test, feature = "dynamodb"))]
    pub(crate) fn may_be_in_progress(&self, within: Duration, now: Timestamp) -> bool {
        self.state != EffectState::Done && self.ended_at.is_none() && now < self.began_at + within
    }

    /// Returns `true` if the effect will never run again.
    pub fn is_over(&self) -> bool {
        matches!(self.state, EffectState::Done | EffectState::Discarded)
    }
}

impl EffectQuery {
    /// Returns `true` if the query asks for this effect. For [backends](crate::database::LedgerRows).
    pub fn wants(&self, effect: &Effect) -> bool {
        self.stream_id.as_ref().is_none_or(|stream| *stream == effect.stream_id)
            && self.state.is_none_or(|state| state == effect.state)
    }
}
