//! Read models in memory, for tests: the same promises, nothing on disk.

mod effects;
mod rows;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use ees_store::{Checkpoint, StreamId, Timestamp};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::control::{Applied, AuditEntry, Control, ParkedStream, Position};
use crate::database::{self, Transaction};
use crate::projection::BoxError;

/// Rows by key, as text; those of a fold as JSON: the state, or an object of the columns.
pub type Rows = BTreeMap<String, String>;

/// A read-model database in memory. Clones share one state. One transaction at a time, and each begins with a copy:
/// for tests.
#[derive(Clone, Default)]
pub struct Database {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    tables: BTreeMap<String, Rows>,
    controls: BTreeMap<String, Control>,
    parked: BTreeMap<(String, StreamId), Waiting>,
    audit: Vec<(String, AuditEntry)>,
    effects: effects::Effects,
}

#[derive(Clone)]
struct Waiting {
    stream: ParkedStream,
    places: BTreeMap<Checkpoint, Applied>,
}

impl Database {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table as it is now; empty when there is none.
    pub async fn rows(&self, table: &str) -> Rows {
        self.state.lock().await.tables.get(table).cloned().unwrap_or_default()
    }
}

/// A transaction on a [`Database`] in memory.
pub struct Tx {
    committed: OwnedMutexGuard<State>,
    state: State,
}

impl Tx {
    /// A table, made if there is none.
    pub fn table(&mut self, name: &str) -> &mut Rows {
        self.state.tables.entry(name.to_owned()).or_default()
    }

    /// Drops a table, if there is one.
    pub fn drop_table(&mut self, name: &str) {
        self.state.tables.remove(name);
    }
}

impl database::Database for Database {
    type Tx = Tx;

    async fn begin(&self) -> Result<Tx, BoxError> {
        let committed = self.state.clone().lock_owned().await;
        let state = committed.clone();
        Ok(Tx { committed, state })
    }

    fn is_transient(_: &(dyn Error + 'static)) -> bool {
        false
    }
}

impl Transaction for Tx {
    async fn load(&mut self, name: &str) -> Result<Option<Control>, BoxError> {
        Ok(self.state.controls.get(name).cloned())
    }

    async fn insert(&mut self, name: &str, control: &Control) -> Result<bool, BoxError> {
        let new = !self.state.controls.contains_key(name);
        if new {
            self.state.controls.insert(name.to_owned(), control.clone());
        }
        Ok(new)
    }

    async fn replace(&mut self, name: &str, believed: Position, control: &Control) -> Result<bool, BoxError> {
        match self.state.controls.get_mut(name) {
            Some(stored) if stored.position == believed => {
                *stored = control.clone();
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn park(
        &mut self,
        name: &str,
        changeset: &Applied,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<(), BoxError> {
        let key = (name.to_owned(), changeset.stream_id.clone());
        let waiting = self.state.parked.entry(key).or_insert_with(|| Waiting {
            stream: ParkedStream {
                stream_id: changeset.stream_id.clone(),
                first: changeset.changeset_id,
                changesets: 0,
                attempts: 1,
                error: error.to_owned(),
                since: Timestamp::now(),
                retry_at,
            },
            places: BTreeMap::new(),
        });
        waiting.places.insert(changeset.checkpoint, changeset.clone());
        Ok(())
    }

    async fn parked(&mut self, name: &str) -> Result<Vec<ParkedStream>, BoxError> {
        let of_this = self.state.parked.iter().filter(|((projection, _), _)| projection == name);
        let mut streams: Vec<_> = of_this
            .filter_map(|(_, waiting)| {
                let first = waiting.places.values().next()?.changeset_id;
                Some(ParkedStream {
                    first,
                    changesets: waiting.places.len() as u64,
                    ..waiting.stream.clone()
                })
            })
            .collect();
        streams.sort_by_key(|stream| stream.retry_at);
        Ok(streams)
    }

    async fn parked_places(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let waiting = self.state.parked.get(&(name.to_owned(), stream_id.clone()));
        Ok(waiting.map(|waiting| waiting.places.keys().take(limit).copied().collect()).unwrap_or_default())
    }

    async fn unpark(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let key = (name.to_owned(), stream_id.clone());
        let Some(waiting) = self.state.parked.get_mut(&key) else { return Ok(false) };
        let there = waiting.places.remove(&checkpoint).is_some();
        if waiting.places.is_empty() {
            self.state.parked.remove(&key);
        }
        Ok(there)
    }

    async fn update_parked(&mut self, name: &str, stream: &ParkedStream) -> Result<(), BoxError> {
        if let Some(waiting) = self.state.parked.get_mut(&(name.to_owned(), stream.stream_id.clone())) {
            waiting.stream = stream.clone();
        }
        Ok(())
    }

    async fn clear_parked(&mut self, name: &str) -> Result<(), BoxError> {
        self.state.parked.retain(|(projection, _), _| projection != name);
        Ok(())
    }

    async fn audit(&mut self, name: &str, entry: &AuditEntry) -> Result<(), BoxError> {
        self.state.audit.push((name.to_owned(), entry.clone()));
        Ok(())
    }

    async fn audit_entries(&mut self, name: &str, limit: usize) -> Result<Vec<AuditEntry>, BoxError> {
        let of_this = self.state.audit.iter().rev().filter(|(projection, _)| projection == name);
        Ok(of_this.take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    async fn sweep(&mut self, name: &str, audit_before: Timestamp, limit: usize) -> Result<usize, BoxError> {
        let before = self.state.audit.len();
        let mut left = limit;
        self.state.audit.retain(|(projection, entry)| {
            let goes = projection == name && entry.at < audit_before && left > 0;
            left -= usize::from(goes);
            !goes
        });
        Ok(before - self.state.audit.len())
    }

    async fn commit(mut self) -> Result<(), BoxError> {
        *self.committed = self.state;
        Ok(())
    }
}
