//! Read models in memory, for tests. They keep the same promises, but nothing is stored on disk.

mod audit;
mod content;
mod effects;
mod leases;
mod locks;
mod network;
mod parked;
mod rows;
mod state;
mod tables;
mod timers;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::content::{Content, Part};
pub use self::network::{Lost, Network};
pub use self::tables::Rows;
use crate::database;
use crate::error::BoxError;
use crate::projection_state::ProjectionState;
use crate::read_model_id::ReadModelId;

/// A read-model database in memory, for tests. Clones share one state.
///
/// It has leases, partitions and standbys as PostgreSQL has, but no previews, copies, columns or references. One
/// transaction at a time writes a read model, with everything that belongs to it. All clones count as one worker;
/// [`over`](Self::over) makes another.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
    /// The name of this process among the workers.
    worker: Arc<str>,
    network: Option<Arc<dyn Network>>,
    listener: Option<Arc<dyn Listener>>,
}

/// The row of a projection and those of its partitions, by their key.
pub(crate) type Projections = BTreeMap<String, ProjectionState>;

/// Is told of each commit, before the next transaction begins.
pub(crate) trait Listener: Send + Sync {
    /// `beside` is what the transaction was given to keep ([`Tx::beside`]).
    fn committed(&self, projections: &Projections, beside: Option<Box<dyn Any + Send>>);
}

#[derive(Default)]
struct Shared {
    committed: Mutex<Content>,
    locks: locks::Locks,
}

impl Shared {
    fn committed(&self) -> MutexGuard<'_, Content> {
        // A poisoned lock holds what is whole: no change to it can panic half-way.
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::of(Content::default(), None)
    }
}

impl Database {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// A database with at most one projection's row, that tells a listener of each commit.
    pub(crate) fn heard_by(listener: Arc<dyn Listener>, row: Option<(String, ProjectionState)>) -> Self {
        let mut content = Content::default();
        if let Some((key, state)) = row {
            content.of_mut(&key).projections.insert(key, state);
        }
        Self::of(content, Some(listener))
    }

    fn of(content: Content, listener: Option<Arc<dyn Listener>>) -> Self {
        let shared = Shared { committed: Mutex::new(content), ..Shared::default() };
        Self { shared: Arc::new(shared), worker: "this process".into(), network: None, listener }
    }

    /// The same state as another process sees it, over a network: with leases of its own, which end 5 seconds after it has
    /// renewed them last. `worker` names the process.
    #[must_use]
    pub fn over(&self, worker: &str, network: Arc<dyn Network>) -> Self {
        Self { worker: worker.into(), network: Some(network), ..self.clone() }
    }

    /// Rolls back the transactions that are open, as a server does with those of clients which it does not hear from. The
    /// clients are told [`Lost`] with their next calls.
    pub fn cut_off(&self) {
        self.shared.locks.take_back();
    }

    /// The current rows of a table of a live read model; empty when there is no such table.
    pub async fn rows(&self, table: &str) -> Rows {
        let committed = self.shared.committed();
        let model = committed.live_with(table).unwrap_or_default();
        committed.of(model).tables.get(table).cloned().unwrap_or_default()
    }

    async fn call(&self) -> Result<(), Lost> {
        match &self.network {
            Some(network) => network.call().await,
            None => Ok(()),
        }
    }

    async fn begun(&self, entered: Option<ReadModelId>) -> Result<Tx, BoxError> {
        self.call().await?;
        let content = self.shared.committed().clone();
        let held = self.shared.locks.open();
        Ok(Tx {
            held,
            content,
            database: self.clone(),
            entered,
            is_snapshot: false,
            written: BTreeSet::new(),
            beside: None,
        })
    }
}

/// A transaction on a [`Database`] in memory.
pub struct Tx {
    /// Which read models it has to itself.
    held: Arc<locks::Held>,
    /// What it sees, with what it has changed.
    content: Content,
    database: Database,
    /// The read model whose tables these are.
    entered: Option<ReadModelId>,
    is_snapshot: bool,
    /// The read models whose tables it has written.
    written: BTreeSet<String>,
    /// What the listener gets with the commit.
    pub(crate) beside: Option<Box<dyn Any + Send>>,
}

impl Tx {
    async fn call(&mut self) -> Result<(), Lost> {
        self.database.call().await?;
        if self.held.is_taken_back() { Err(Lost) } else { Ok(()) }
    }

    /// Sees what others have committed of a read model, unless this transaction has it to itself, or is a snapshot.
    async fn look(&mut self, model: &ReadModelId) -> Result<Arc<Part>, Lost> {
        self.call().await?;
        if !self.is_snapshot && !self.held.has(model.name()) {
            self.see(model);
        }
        Ok(self.content.of(model.name()))
    }

    /// What it has written itself stays.
    fn see(&mut self, model: &ReadModelId) {
        let mut part = self.database.shared.committed().of(model.name());
        if self.written.contains(model.name()) {
            Arc::make_mut(&mut part).tables = self.content.of(model.name()).tables.clone();
        }
        self.content.set(model.name(), part);
    }

    /// Waits until this transaction has the read model to itself, and sees it as it is then.
    async fn lock_model(&mut self, model: &ReadModelId) -> Result<&mut Part, Lost> {
        self.call().await?;
        if !self.held.has(model.name()) {
            self.database.shared.locks.lock(&self.held, model.name()).await?;
            self.see(model);
        }
        Ok(self.content.of_mut(model.name()))
    }
}

impl database::Database for Database {
    type Tx = Tx;
    const SIDE_BY_SIDE: bool = true;
    const PARTITIONS: bool = true;

    async fn begin(&self) -> Result<Tx, BoxError> {
        self.begun(None).await
    }

    async fn begin_in(&self, model: &ReadModelId) -> Result<Tx, BoxError> {
        self.begun(Some(model.clone())).await
    }

    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        error.is::<Lost>() || error.source().is_some_and(Self::is_transient)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ees_store::Checkpoint;
    use futures::future::BoxFuture;

    use super::*;
    use crate::database::{Database as _, Lease, Transaction};
    use crate::projection_state::Position;

    /// Loses the next answer, if it is told to.
    #[derive(Default)]
    struct OneAnswer(Mutex<Option<Lost>>);

    impl Network for OneAnswer {
        fn call(&self) -> BoxFuture<'_, Result<(), Lost>> {
            Box::pin(async { Ok(()) })
        }
        fn answer(&self) -> BoxFuture<'_, Result<(), Lost>> {
            Box::pin(async { self.0.lock().unwrap().take().map_or(Ok(()), Err) })
        }
    }

    async fn inserted(database: &Database) -> ReadModelId {
        let model = ReadModelId::live("orders");
        let mut tx = database.begin_in(&model).await.unwrap();
        assert!(tx.insert(&model, &ProjectionState::new(1)).await.unwrap());
        tx.table("orders").insert("a".to_owned(), "1".to_owned());
        tx.commit().await.unwrap();
        model
    }

    #[tokio::test]
    async fn what_is_cut_off_is_rolled_back_and_in_nobodys_way() {
        let database = Database::new();
        let model = inserted(&database).await;
        let mut tx = database.begin_in(&model).await.unwrap();
        let state = tx.lock(&model).await.unwrap().unwrap();
        tx.table("orders").insert("b".to_owned(), "2".to_owned());
        database.cut_off();
        assert!(tx.load(&model).await.unwrap_err().is::<Lost>());
        assert!(tx.commit().await.unwrap_err().is::<Lost>());
        assert_eq!(database.rows("orders").await.len(), 1);
        let mut next = database.begin_in(&model).await.unwrap();
        assert!(next.replace(&model, state.position, &state).await.unwrap());
    }

    #[tokio::test]
    async fn a_commit_whose_answer_was_lost_is_a_commit() {
        let database = Database::new();
        let model = inserted(&database).await;
        let network = Arc::new(OneAnswer::default());
        let over = database.over("a worker", network.clone());
        let mut tx = over.begin_in(&model).await.unwrap();
        let state = tx.load(&model).await.unwrap().unwrap();
        let moved = ProjectionState {
            position: Position { next: Checkpoint::new(7), ..state.position },
            ..state.clone()
        };
        assert!(tx.replace(&model, state.position, &moved).await.unwrap());
        *network.0.lock().unwrap() = Some(Lost);
        assert!(tx.commit().await.is_err());
        let stored = database.begin().await.unwrap().load(&model).await.unwrap().unwrap();
        assert_eq!(stored.position.next, Checkpoint::new(7));
    }

    #[tokio::test]
    async fn one_of_two_processes_has_the_lease() {
        let database = Database::new();
        let model = inserted(&database).await;
        let [one, other] =
            ["one", "other"].map(|worker| database.over(worker, Arc::new(OneAnswer::default())));
        let mut leases = Vec::new();
        for process in [&one, &other, &one, &other] {
            let mut tx = process.begin_in(&model).await.unwrap();
            leases.push(tx.lease(&model, 1, true).await.unwrap());
            tx.commit().await.unwrap();
        }
        let ours = leases[2..].iter().filter(|lease| matches!(lease, Lease::Ours { .. })).count();
        assert_eq!(ours, 1, "{leases:?}");
    }

    #[tokio::test]
    async fn a_transaction_that_reads_a_table_of_another_projection_takes_nothing_back() {
        let database = Database::new();
        let model = inserted(&database).await;
        let mut reads = database.begin_in(&ReadModelId::live("invoices")).await.unwrap();
        assert_eq!(reads.rows("orders").len(), 1);
        let mut tx = database.begin_in(&model).await.unwrap();
        tx.lock(&model).await.unwrap();
        tx.table("orders").insert("b".to_owned(), "2".to_owned());
        tx.commit().await.unwrap();
        reads.table("invoices").insert("1".to_owned(), "{}".to_owned());
        reads.commit().await.unwrap();
        assert_eq!(database.rows("orders").await.len(), 2);
        assert_eq!(database.rows("invoices").await.len(), 1);
    }
}
