//! How many calls there were.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts what went to AWS, by operation (`PutItem`, `Query`...): each attempt, whatever became of it.
#[derive(Default)]
pub struct Calls(Mutex<BTreeMap<String, usize>>);

impl Calls {
    /// All of them.
    pub fn total(&self) -> usize {
        self.counts().values().sum()
    }

    /// Those of one operation.
    pub fn of(&self, operation: &str) -> usize {
        self.counts().get(operation).copied().unwrap_or(0)
    }

    /// What was counted since the last time this was asked for.
    pub fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.counts())
    }

    pub(super) fn count(&self, operation: &str) {
        *self.counts().entry(operation.to_owned()).or_default() += 1;
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
