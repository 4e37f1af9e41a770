//! What the ledger says of an effect.

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

/// Which effect of a reactor: of this event, the one of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectId {
    /// The event's stream.
    pub stream_id: StreamId,
    /// The event's changeset.
    pub changeset_id: ChangesetId,
    /// The event's number in its stream.
    pub event_id: EventId,
    /// The effect's name, such as `mail`.
    pub effect: String,
}

/// An effect as the ledger has it: whether it was done, how often it was begun, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Effect {
    /// The event's stream.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The event's changeset.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// The event's number in its stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub event_id: EventId,
    /// The effect's name, such as `mail`.
    pub effect: String,
    /// How far it is.
    pub state: EffectState,
    /// How often it was begun: more than once after a failure, or when a crash fell inside it.
    pub attempts: u32,
    /// When it was begun first.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub since: Timestamp,
    /// When it was begun last.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub began_at: Timestamp,
    /// When the last attempt ended; `None` while it is under way, or when a crash ended it.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>))]
    pub ended_at: Option<Timestamp>,
    /// What the last attempt failed with.
    pub error: Option<String>,
    /// What it gave, once it is done.
    #[cfg_attr(feature = "http", schema(value_type = Option<Object>))]
    pub result: Option<Json>,
}

/// How far an effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// Begun, and not ended: it is under way, or a crash fell inside it.
    Started,
    /// Done; it is not done again.
    Done,
    /// Failed; it is tried again.
    Failed,
    /// Given up on, until an operator has it tried again or discards it.
    Parked,
    /// An operator decided that it is not to be done.
    Discarded,
}

impl EffectState {
    /// As it stands in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Discarded => "discarded",
        }
    }
}

/// A text that names no [`EffectState`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no state of an effect: started, done, failed, parked or discarded")]
pub struct UnknownState(String);

impl std::str::FromStr for EffectState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        [Self::Started, Self::Done, Self::Failed, Self::Parked, Self::Discarded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// Which effects to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectQuery {
    /// Only those of this stream's events.
    pub stream_id: Option<StreamId>,
    /// Only those that are that far.
    pub state: Option<EffectState>,
    /// At most so many; 100 unless set.
    pub limit: usize,
}

impl Default for EffectQuery {
    fn default() -> Self {
        Self { stream_id: None, state: None, limit: 100 }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// [`Done`](EffectState::Done) or [`Failed`](EffectState::Failed).
    pub state: EffectState,
    /// Why it failed.
    pub error: Option<String>,
    /// What it gave.
    pub result: Option<Json>,
}

impl EffectId {
    /// The effect before its first attempt.
    pub(crate) fn first(&self, at: Timestamp) -> Effect {
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
    /// The idempotency key under which the reactor of this name does it ([`Cause::key`](super::Cause::key)).
    pub fn key(&self, reactor: &str) -> String {
        super::cause::key_of(
            reactor,
            &EffectId {
                stream_id: self.stream_id.clone(),
                changeset_id: self.changeset_id,
                event_id: self.event_id,
                effect: self.effect.clone(),
            },
        )
    }

    /// One attempt more.
    pub(crate) fn begin(&mut self, at: Timestamp) {
        self.state = EffectState::Started;
        self.attempts = self.attempts.saturating_add(1);
        self.began_at = at;
        self.ended_at = None;
    }

    /// What came of the attempt. What is done, given up or discarded by now stays so when an attempt fails that was slower.
    pub(crate) fn end(&mut self, ended: Ended) {
        let is_news = self.state == EffectState::Started || ended.state == EffectState::Done;
        if is_news && self.state != EffectState::Done {
            self.state = ended.state;
            self.ended_at = Some(ended.at);
            self.error = ended.error;
            self.result = ended.result;
        }
    }

    /// Whether nothing more is to be done.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, EffectState::Done | EffectState::Discarded)
    }
}

impl EffectQuery {
    pub(crate) fn wants(&self, effect: &Effect) -> bool {
        self.stream_id.as_ref().is_none_or(|stream| *stream == effect.stream_id)
            && self.state.is_none_or(|state| state == effect.state)
    }
}
