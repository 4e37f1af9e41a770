//! What the workers of a projection count.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ees_store::Histogram;

use crate::status::EffectCounts;

/// What a worker has done in this process, and the workers of its partitions with it. Counted in plain atomics.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The changesets of each step that applied something or passed it over.
    pub(crate) batch_changesets: Histogram,
    /// The time of each such step, in microseconds.
    pub(crate) step_micros: Histogram,
    /// Steps that failed and were tried again.
    pub(crate) retries: AtomicU64,
    effects_done: AtomicU64,
    effects_failed: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            batch_changesets: Histogram::from(1),
            step_micros: Histogram::from(250),
            retries: AtomicU64::new(0),
            effects_done: AtomicU64::new(0),
            effects_failed: AtomicU64::new(0),
        }
    }
}

impl Figures {
    /// Counts a step that succeeded.
    pub(crate) fn stepped(&self, changesets: usize, took: Duration) {
        self.batch_changesets.record(changesets as u64);
        self.step_micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts an effect that ended.
    pub(crate) fn effect_ended(&self, is_done: bool) {
        let count = if is_done { &self.effects_done } else { &self.effects_failed };
        count.fetch_add(1, Relaxed);
    }

    /// How the effects ended.
    pub(crate) fn effects(&self) -> EffectCounts {
        EffectCounts { done: self.effects_done.load(Relaxed), failed: self.effects_failed.load(Relaxed) }
    }
}
