//! Which transaction has a read model to itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::Lost;

/// The locks of all read models, by name.
#[derive(Default)]
pub(super) struct Locks {
    all: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
    /// Of the transactions that are open.
    transactions: Mutex<Vec<Weak<Held>>>,
}

/// What a transaction holds, until that is taken back.
pub(super) struct Held(Mutex<Option<BTreeMap<String, OwnedMutexGuard<()>>>>);

impl Held {
    fn with<T>(&self, look: impl FnOnce(&mut Option<BTreeMap<String, OwnedMutexGuard<()>>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, model: &str, lock: OwnedMutexGuard<()>) -> Result<(), Lost> {
        self.with(|held| {
            held.as_mut().ok_or(Lost)?.insert(model.to_owned(), lock);
            Ok(())
        })
    }

    pub(super) fn has(&self, model: &str) -> bool {
        self.with(|held| held.as_ref().is_some_and(|held| held.contains_key(model)))
    }

    pub(super) fn is_taken_back(&self) -> bool {
        self.with(|held| held.is_none())
    }

    /// Gives up everything, and calls this before, unless it was taken back. The names are those of the read models.
    pub(super) fn end<T>(&self, before: impl FnOnce(Vec<&str>) -> T) -> Result<T, Lost> {
        self.with(|held| {
            let result = before(held.as_ref().ok_or(Lost)?.keys().map(String::as_str).collect());
            *held = None;
            Ok(result)
        })
    }
}

impl Locks {
    /// For a transaction that begins.
    pub(super) fn open(&self) -> Arc<Held> {
        let held = Arc::new(Held(Mutex::new(Some(BTreeMap::new()))));
        let mut open = self.transactions.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|it| it.strong_count() > 0);
        open.push(Arc::downgrade(&held));
        held
    }

    fn of(&self, model: &str) -> Arc<AsyncMutex<()>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(model.to_owned()).or_default().clone()
    }

    /// Waits for a lock.
    pub(super) async fn lock(&self, held: &Held, model: &str) -> Result<(), Lost> {
        let lock = self.of(model).lock_owned().await;
        held.take(model, lock)
    }

    /// Takes a lock if nobody has it.
    pub(super) fn try_lock(&self, held: &Held, model: &str) -> bool {
        let Ok(lock) = self.of(model).try_lock_owned() else { return false };
        held.take(model, lock).is_ok()
    }

    /// Takes back what open transactions hold.
    pub(super) fn take_back(&self) {
        let open = std::mem::take(&mut *self.transactions.lock().unwrap_or_else(PoisonError::into_inner));
        open.iter().filter_map(Weak::upgrade).for_each(|held| held.with(|held| *held = None));
    }
}
