//! Read models in memory, for tests. They keep the same promises, but nothing is stored on disk.

mod audit;
mod effects;
mod parked;
mod rows;
mod timers;

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use ees_store::StreamId;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::database::{self, Transaction};
use crate::error::BoxError;
use crate::projection_state::{AuditEntry, Position, ProjectionState};
use crate::read_model_id::ReadModelId;

/// The rows of a table by key, as text. A row of a fold is JSON: its state, or an object of its columns.
pub type Rows = BTreeMap<String, String>;

/// A read-model database in memory, for tests. Clones share one state.
///
/// One transaction runs at a time. Each begins by copying the whole state, so large read models are slow.
#[derive(Clone, Default)]
pub struct Database {
    state: Arc<Mutex<State>>,
    listener: Option<Arc<dyn Listener>>,
}

/// The rows of projections, by their key.
pub(crate) type Projections = BTreeMap<String, ProjectionState>;

/// Is told of each commit, before the next transaction begins.
pub(crate) trait Listener: Send + Sync {
    /// `beside` is what the transaction was given to keep ([`Tx::beside`]).
    fn committed(&self, projections: &Projections, beside: Option<Box<dyn Any + Send>>);
}

#[derive(Clone, Default)]
struct State {
    tables: BTreeMap<String, Rows>,
    projections: Projections,
    parked: BTreeMap<(String, StreamId), parked::Waiting>,
    audit: Vec<(String, AuditEntry)>,
    effects: effects::Effects,
    timers: timers::Timers,
}

impl Database {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// A database with at most one projection's row, that tells a listener of each commit.
    pub(crate) fn heard_by(listener: Arc<dyn Listener>, row: Option<(String, ProjectionState)>) -> Self {
        let state = State { projections: row.into_iter().collect(), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), listener: Some(listener) }
    }

    /// The current rows of a table; empty when there is no such table.
    pub async fn rows(&self, table: &str) -> Rows {
        self.state.lock().await.tables.get(table).cloned().unwrap_or_default()
    }
}

/// A transaction on a [`Database`] in memory.
pub struct Tx {
    committed: OwnedMutexGuard<State>,
    state: State,
    listener: Option<Arc<dyn Listener>>,
    /// What the listener gets with the commit.
    pub(crate) beside: Option<Box<dyn Any + Send>>,
}

impl Tx {
    /// The rows of a table. Creates the table if it does not exist.
    pub fn table(&mut self, name: &str) -> &mut Rows {
        self.state.tables.entry(name.to_owned()).or_default()
    }

    /// Drops a table if it exists.
    pub fn drop_table(&mut self, name: &str) {
        self.state.tables.remove(name);
    }
}

impl database::Database for Database {
    type Tx = Tx;

    async fn begin(&self) -> Result<Tx, BoxError> {
        let committed = self.state.clone().lock_owned().await;
        let state = committed.clone();
        Ok(Tx { committed, state, listener: self.listener.clone(), beside: None })
    }

    fn is_transient(_: &(dyn Error + 'static)) -> bool {
        false
    }
}

impl Transaction for Tx {
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        Ok(self.state.projections.get(model.key()).cloned())
    }

    async fn insert(&mut self, model: &ReadModelId, row: &ProjectionState) -> Result<bool, BoxError> {
        let new = !self.state.projections.contains_key(model.key());
        if new {
            self.state.projections.insert(model.key().to_owned(), row.clone());
        }
        Ok(new)
    }

    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        row: &ProjectionState,
    ) -> Result<bool, BoxError> {
        match self.state.projections.get_mut(model.key()) {
            Some(stored) if stored.position == believed => {
                *stored = row.clone();
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn commit(mut self) -> Result<(), BoxError> {
        *self.committed = self.state;
        if let Some(listener) = self.listener {
            listener.committed(&self.committed.projections, self.beside);
        }
        Ok(())
    }
}
