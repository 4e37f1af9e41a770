//! Counts calls.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts the attempts of calls to AWS by operation (`PutItem`, `Query`...), whether they succeed or not.
#[derive(Default)]
pub struct Calls(Mutex<BTreeMap<String, usize>>);

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

    pub(super) fn count(&self, operation: &str) {
        *self.counts().entry(operation.to_owned()).or_default() += 1;
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
