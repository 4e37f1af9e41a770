//! An effect in the ledger, and the clock, as the models of reactors have them.

use std::time::Duration;

use ees_store::Timestamp;

use crate::reactor::{Effect, EffectId, EffectState};

/// An effect as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) state: &'static str,
    pub(super) attempts: u32,
    pub(super) began_at: i64,
    pub(super) ended_at: Option<i64>,
    /// Who began the last attempt, and for how long.
    pub(super) worker: u8,
    pub(super) within: i64,
}

impl Entry {
    pub(super) fn effect(&self, id: &EffectId) -> Effect {
        Effect {
            state: self.state.parse().unwrap(),
            attempts: self.attempts,
            began_at: at(self.began_at),
            ended_at: self.ended_at.map(at),
            ..id.unstarted(at(0))
        }
    }

    pub(super) fn with(self, effect: &Effect) -> Self {
        Self {
            state: effect.state.as_str(),
            attempts: effect.attempts,
            began_at: effect.began_at.as_micros(),
            ended_at: effect.ended_at.map(Timestamp::as_micros),
            ..self
        }
    }

    pub(super) fn is(&self, state: EffectState) -> bool {
        self.state == state.as_str()
    }
}

pub(super) fn at(tick: i64) -> Timestamp {
    Timestamp::from_micros(tick)
}

pub(super) fn ticks(ticks: i64) -> Duration {
    Duration::from_micros(ticks.unsigned_abs())
}
