//! Counts calls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts the attempts of calls to AWS by operation (`PutItem`, `Query`...), whether they succeed or not.
#[derive(Default)]
pub struct Calls {
    attempts: Mutex<BTreeMap<String, usize>>,
    actions: AtomicUsize,
}

impl Calls {
    /// All attempts.
    pub fn total(&self) -> usize {
        self.counts().values().sum()
    }

    /// The attempts of one operation.
    pub fn of(&self, operation: &str) -> usize {
        self.counts().get(operation).copied().unwrap_or(0)
    }

    /// The attempts since the last call of this method.
    pub fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.counts())
    }

    /// The actions of all attempts of transactions that write. AWS bills those of an attempt that is
    /// cancelled, too.
    pub fn actions(&self) -> usize {
        self.actions.load(Ordering::Relaxed)
    }

    pub(super) fn count_actions(&self, operation: &str, actions: usize) {
        if operation == "TransactWriteItems" {
            self.actions.fetch_add(actions, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self, operation: &str) {
        *self.counts().entry(operation.to_owned()).or_default() += 1;
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
