//! Transactions that are too large.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Faults;

/// The actions of a transaction, at most.
pub(super) struct Small(AtomicUsize);

impl Default for Small {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Small {
    /// Whether a transaction with this many actions is too large.
    pub(super) fn refuses(&self, actions: usize) -> bool {
        actions > self.0.load(Ordering::SeqCst)
    }
}

impl Faults {
    /// From now on, transactions with more actions than this are refused, as larger than 4 MB.
    pub fn refuse_above(&self, actions: usize) {
        self.0.small.0.store(actions, Ordering::SeqCst);
    }
}
