//! Snapshots in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{BoxError, Key, Snapshot};

/// Snapshots in memory, one for each stream. Clones share them; they are lost with the last clone.
#[derive(Clone, Default)]
pub struct Snapshots(Arc<Mutex<HashMap<Key, Snapshot>>>);

impl Snapshots {
    /// An empty snapshot store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl super::Snapshots for Snapshots {
    async fn find(&self, key: &Key) -> Result<Option<Snapshot>, BoxError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }
    async fn keep(&self, key: &Key, snapshot: &Snapshot) -> Result<(), BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), snapshot.clone());
        Ok(())
    }
}
