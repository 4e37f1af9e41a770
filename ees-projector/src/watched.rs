//! Folds as values in memory that follow the log.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::Arc;

use ees_store::{Checkpoint, LogId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::database::Database;
use crate::memory::{self, Listener, Projections};
use crate::projection_state::{ChangesetRef, Position, ProjectionState, Skipped};
use crate::stage::{Checks, StageOf};
use crate::{BoxError, MultiFold, Order, Projection, Recorded, Settings, Subscription};

/// How a fold is kept in memory. See [`Projector::watch`](crate::Projector::watch).
#[derive(Clone, Debug)]
pub struct Watching<S> {
    /// The most rows. The changeset that would make one more fails: the fold pauses before it, and the error
    /// says so. Default: 100,000.
    pub rows_max: usize,
    /// Where to begin. Default: the start of the log, without rows.
    pub snapshot: Option<Snapshot<S>>,
    /// How the fold runs. It can't park streams, because what is parked would be lost with the process.
    pub settings: Settings,
}

impl<S> Default for Watching<S> {
    fn default() -> Self {
        Self { rows_max: 100_000, snapshot: None, settings: Settings::default() }
    }
}

/// The rows of a fold in memory, at one checkpoint.
pub struct Watched<S> {
    /// The rows by the text of their key.
    pub rows: BTreeMap<String, S>,
    state: ProjectionState,
}

impl<S> Watched<S> {
    /// Returns the checkpoint that the fold reads next: the rows are those of all changesets before it.
    pub fn checkpoint(&self) -> Checkpoint {
        self.state.position.next
    }

    /// Returns the row of a fold that has one row only, under whatever key.
    pub fn single(&self) -> Option<&S> {
        self.rows.values().next()
    }

    /// Returns what the fold needs to go on from here in another process. Write it with serde.
    pub fn snapshot(&self) -> Snapshot<S>
    where
        S: Clone,
    {
        let ProjectionState { version, position, log_id, last, skips, .. } = self.state.clone();
        Snapshot { version, next: position.next, log_id, last, skips, rows: self.rows.clone() }
    }
}

impl<S> Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("rows", &self.rows.len())
            .field("checkpoint", &self.checkpoint())
            .finish_non_exhaustive()
    }
}

/// The rows of a fold and its checkpoint. A fold with a higher version, or on another log, does not use it:
/// it is rebuilt, or stops, as a read model in a database would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot<S> {
    version: u32,
    next: Checkpoint,
    log_id: Option<LogId>,
    last: Option<ChangesetRef>,
    #[serde(default)]
    skips: Vec<Skipped>,
    rows: BTreeMap<String, S>,
}

impl<S> Snapshot<S> {
    /// Returns the checkpoint that the fold reads next.
    pub fn checkpoint(&self) -> Checkpoint {
        self.next
    }

    fn restored(self) -> Watched<S> {
        let Self { version, next, log_id, last, skips, rows } = self;
        let position = Position { next, epoch: 0 };
        Watched {
            rows,
            state: ProjectionState { position, log_id, last, skips, ..ProjectionState::new(version) },
        }
    }
}

/// A fold whose rows are in memory, as a projection. It keeps its position in a database in memory, and what
/// it changes is published when that commits.
pub(crate) struct WatchedFold<F: MultiFold> {
    stage: StageOf<F>,
    name: String,
    version: u32,
    order: Order,
    subscription: Subscription,
    rows_max: usize,
    published: watch::Sender<Watched<F::State>>,
}

impl<F: MultiFold<State: Clone>> WatchedFold<F> {
    /// Returns the fold, and the database for its position.
    pub(crate) fn new(
        fold: F,
        rows_max: usize,
        snapshot: Option<Snapshot<F::State>>,
    ) -> (Self, PositionDatabase) {
        let (name, version) = (MultiFold::name(&fold).to_owned(), fold.version());
        let begin = snapshot.map(Snapshot::restored);
        let stored = begin.as_ref().map(|watched| watched.state.clone());
        let empty = || Watched { rows: BTreeMap::new(), state: ProjectionState::new(version) };
        let published = watch::Sender::new(begin.unwrap_or_else(empty));
        let publisher = Publisher { name: name.clone(), published: published.clone() };
        let database = PositionDatabase(memory::Database::heard_by(
            Arc::new(publisher),
            stored.map(|state| (name.clone(), state)),
        ));
        let (order, subscription) = (MultiFold::order(&fold), MultiFold::subscription(&fold));
        let stage = StageOf::new(fold);
        (Self { stage, name, version, order, subscription, rows_max, published }, database)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Watched<F::State>> {
        self.published.subscribe()
    }

    /// Returns the changes that the transaction has made so far.
    fn changes<'t>(&self, tx: &'t mut memory::Tx) -> Result<&'t mut Changes<F::State>, BoxError> {
        let begin = || {
            let rows = self.published.borrow().rows.len();
            Box::new(Changes::<F::State> { cleared: false, changed: HashMap::new(), rows })
        };
        let changes = tx.beside.get_or_insert_with(|| begin());
        Ok(changes.downcast_mut().ok_or("the transaction is of another fold")?)
    }
}

/// Keeps the position of a fold whose rows are not here: there is one read model of it, and one worker.
pub(crate) struct PositionDatabase(memory::Database);

impl Database for PositionDatabase {
    type Tx = memory::Tx;

    async fn begin(&self) -> Result<memory::Tx, BoxError> {
        self.0.begin().await
    }

    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        memory::Database::is_transient(error)
    }
}

/// What a transaction changes.
struct Changes<S> {
    /// Whether all earlier rows are gone.
    cleared: bool,
    changed: HashMap<String, Option<S>>,
    /// The number of rows after the changes.
    rows: usize,
}

impl<F: MultiFold<State: Clone>> Projection<memory::Tx> for WatchedFold<F> {
    type Event = F::Event;

    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }

    fn order(&self) -> Order {
        self.order
    }

    fn prefers_large_batches(&self) -> bool {
        true
    }

    async fn create_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }

    async fn drop_tables(&self, tx: &mut memory::Tx) -> Result<(), BoxError> {
        *self.changes(tx)? = Changes { cleared: true, changed: HashMap::new(), rows: 0 };
        Ok(())
    }

    async fn apply(&self, event: Recorded<'_, F::Event>, tx: &mut memory::Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }

    async fn apply_batch(
        &self,
        events: &[Recorded<'_, F::Event>],
        tx: &mut memory::Tx,
    ) -> Result<(), BoxError> {
        let mut pass = self.stage.pass(events, None, Vec::new(), Checks::of::<memory::Tx>())?;
        let changes = self.changes(tx)?;
        let before: Vec<Option<F::State>> = {
            let published = self.published.borrow();
            let row = |key: &str| match changes.changed.get(key) {
                Some(changed) => changed.clone(),
                None if changes.cleared => None,
                None => published.rows.get(key).cloned(),
            };
            pass.row_keys().map(row).collect()
        };
        changes.rows -= before.iter().flatten().count();
        let (rows, _) = pass.fold(events, before);
        changes.rows += rows.iter().filter(|(_, state)| state.is_some()).count();
        if changes.rows > self.rows_max {
            return Err(format!(
                "the fold would have {} rows in memory, and may have {} (`Watching::rows_max`): raise that, delete \
                 rows, or keep the fold in a database",
                changes.rows, self.rows_max
            )
            .into());
        }
        changes.changed.extend(rows);
        Ok(())
    }
}

/// Publishes what is committed.
struct Publisher<S> {
    name: String,
    published: watch::Sender<Watched<S>>,
}

impl<S: Send + Sync + 'static> Listener for Publisher<S> {
    fn committed(&self, projections: &Projections, beside: Option<Box<dyn Any + Send>>) {
        let changes = beside.and_then(|beside| beside.downcast::<Changes<S>>().ok());
        let Some(state) = projections.get(&self.name) else { return };
        self.published.send_if_modified(|watched| {
            let is_news = changes.is_some() || watched.state != *state;
            watched.state = state.clone();
            let Some(changes) = changes else { return is_news };
            if changes.cleared {
                watched.rows.clear();
            }
            for (key, row) in changes.changed {
                match row {
                    Some(row) => watched.rows.insert(key, row),
                    None => watched.rows.remove(&key),
                };
            }
            is_news
        });
    }
}
