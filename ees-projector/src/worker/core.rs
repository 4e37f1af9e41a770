//! What a worker works with: a processor, its database and the log; and how it runs a transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ees_store::{ChangesetId, ChangesetLog, LogEntry, LogHead, StreamId};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::database::{Database, Fenced, TooLarge, Transaction};
use crate::error::chain;
use crate::fingerprint::Fingerprint;
use crate::partition::Partition;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::read_model_id::{ReadModelId, Slot};
use crate::settings::Settings;
use crate::worker::error::StepError;
use crate::worker::explain::explainable::Explainable;
use crate::worker::fingerprint::Fingerprinted;
use crate::worker::processor::Processor;
use crate::worker::span_memory::SpanMemory;

/// A transaction that takes longer is waiting for a database that is gone.
const TRANSACTION_MAX: Duration = Duration::from_secs(10 * 60);

/// A projection or a reactor, the database that it writes and the log that it reads.
pub(crate) struct Core<D: Database> {
    pub(crate) processor: Arc<dyn Processor<D::Tx>>,
    pub(crate) database: Arc<D>,
    pub(crate) log: Arc<dyn ChangesetLog>,
    pub(crate) settings: Settings,
    explainable: Option<Arc<dyn Explainable<D::Tx>>>,
    fingerprinted: Option<Arc<dyn Fingerprinted<D::Tx>>>,
    pub(crate) clock: Clock,
    pub(super) span_memory: SpanMemory,
    id: ReadModelId,
    partition: Option<Partition>,
    /// Whether the tables were compared with those that the program would make.
    pub(super) tables_checked: AtomicBool,
    /// Tells the workers of both read models in this process of a swap.
    pub(super) swaps: Arc<watch::Sender<()>>,
    /// For a copy or a preview: the streams that are parked in the original, each with the first changeset that is left out.
    parked_there: Arc<HashMap<StreamId, ChangesetId>>,
}

impl<D: Database> Core<D> {
    pub(crate) fn new(
        processor: Arc<dyn Processor<D::Tx>>,
        database: D,
        log: Arc<dyn ChangesetLog>,
        settings: Settings,
    ) -> Self {
        let id = ReadModelId::new(processor.name(), Slot::Live);
        let (database, clock) = (Arc::new(database), Clock::default());
        Self {
            processor,
            database,
            log,
            settings,
            clock,
            span_memory: SpanMemory::default(),
            explainable: None,
            fingerprinted: None,
            id,
            partition: None,
            tables_checked: AtomicBool::new(false),
            swaps: Arc::default(),
            parked_there: Arc::default(),
        }
    }

    /// Adds the same projection as one whose rows can be explained.
    pub(crate) fn with_explainable(self, explainable: Arc<dyn Explainable<D::Tx>>) -> Self {
        Self { explainable: Some(explainable), ..self }
    }

    /// Returns the projection, if its rows can be explained.
    pub(crate) fn explainable(&self) -> Option<Arc<dyn Explainable<D::Tx>>> {
        self.explainable.clone()
    }

    /// Adds the same projection as one whose rows have a fingerprint. It is kept if the settings say so.
    pub(crate) fn with_fingerprinted(self, fingerprinted: Arc<dyn Fingerprinted<D::Tx>>) -> Self {
        let fingerprinted = Some(fingerprinted).filter(|_| self.settings.fingerprint);
        Self { fingerprinted, ..self }
    }

    /// Returns the projection, if it keeps a fingerprint of its rows.
    pub(crate) fn fingerprinted(&self) -> Option<&Arc<dyn Fingerprinted<D::Tx>>> {
        self.fingerprinted.as_ref()
    }

    /// Returns the core with another clock.
    pub(crate) fn with_clock(&self, clock: Clock) -> Self {
        Self { clock, ..self.onto(self.slot()) }
    }

    /// Returns the core with the memory for large batches that the other workers of its host take theirs from.
    pub(crate) fn with_span_memory(self, span_memory: SpanMemory) -> Self {
        Self { span_memory, ..self }
    }

    /// Returns the core of another read model of the same projection.
    pub(crate) fn onto(&self, slot: Slot) -> Self {
        Self {
            processor: self.processor.clone(),
            database: self.database.clone(),
            log: self.log.clone(),
            settings: self.settings,
            explainable: self.explainable.clone(),
            fingerprinted: self.fingerprinted.clone(),
            clock: self.clock.clone(),
            span_memory: self.span_memory.clone(),
            id: self.id.with_slot(slot),
            partition: None,
            tables_checked: AtomicBool::new(false),
            swaps: self.swaps.clone(),
            parked_there: self.parked_there.clone(),
        }
    }

    /// Returns the core of a copy of this read model in another place, without what is parked here.
    pub(crate) fn copy(&self, database: D, id: ReadModelId, parked: HashMap<StreamId, ChangesetId>) -> Self {
        Self { database: Arc::new(database), id, ..self.onto(Slot::Live).without_parked(parked) }
    }

    /// Returns the core without what is parked in another read model.
    pub(crate) fn without_parked(self, parked: HashMap<StreamId, ChangesetId>) -> Self {
        Self { parked_there: Arc::new(parked), ..self }
    }

    /// Returns the core with other settings.
    pub(crate) fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Returns `true` if the changeset is left out here, because it waits in the original.
    pub(crate) fn is_parked_there(&self, entry: &LogEntry) -> bool {
        self.parked_there.get(&entry.stream_id).is_some_and(|first| entry.changeset_id >= *first)
    }

    /// Returns the core of one partition of this read model.
    pub(crate) fn onto_partition(&self, partition: Partition) -> Self {
        Self { partition: Some(partition), id: self.id.of_partition(partition), ..self.onto(self.slot()) }
    }

    /// Returns the id of the read model, and of the row with its position.
    pub(crate) fn id(&self) -> &ReadModelId {
        &self.id
    }

    /// Returns the name of the read model. For the live one, this is the projection's name.
    pub(crate) fn name(&self) -> &str {
        self.id.name()
    }

    /// Returns the slot of the read model.
    pub(crate) fn slot(&self) -> Slot {
        self.id.slot()
    }

    /// Returns the id of the live read model.
    pub(crate) fn live(&self) -> ReadModelId {
        self.id.with_slot(Slot::Live)
    }

    /// Returns its partition, or `None` if it runs all streams.
    pub(crate) fn partition(&self) -> Option<Partition> {
        self.partition
    }

    /// Returns `true` if the projection is split and this core is not for a partition: then only the
    /// partitions may apply.
    pub(crate) fn is_left_to_partitions(&self, state: &ProjectionState) -> bool {
        state.is_left_to_partitions(self.partition)
    }

    /// Returns the head of the log.
    pub(crate) async fn head(&self) -> Result<LogHead, StepError> {
        Ok(self.log.head().await?)
    }

    /// Begins a transaction. It may block: only within [`run`](Self::run). [`read`](Self::read),
    /// [`write`](Self::write) and [`transact`](Self::transact) begin theirs there.
    pub(crate) async fn begin(&self) -> Result<D::Tx, StepError> {
        Ok(self.database.begin_in(&self.id).await?)
    }

    // Boxed, as other futures of a worker that nest: a debug build reserves stack for each future that is awaited in place,
    // and together they took more than the 2 MiB of a thread.

    /// Runs a query in a transaction that is not committed.
    pub(crate) fn read<T, W>(self: &Arc<Self>, work: W) -> BoxFuture<'_, Result<T, StepError>>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    {
        let core = self.clone();
        self.run(async move { work(&mut core.begin().await?).await }).boxed()
    }

    /// Runs a transaction without the fence, and commits it.
    pub(crate) fn write<T, W>(self: &Arc<Self>, work: W) -> BoxFuture<'_, Result<T, StepError>>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    {
        let core = self.clone();
        self.run(async move { work_and_commit(core.begin().await?, work).await }).boxed()
    }

    /// Like [`write`](Self::write), and the commit survives a power loss.
    pub(crate) fn write_durably<T, W>(self: &Arc<Self>, work: W) -> BoxFuture<'_, Result<T, StepError>>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    {
        let core = self.clone();
        self.run(async move { work_and_commit(core.database.begin_durable().await?, work).await }).boxed()
    }

    /// Runs one transaction: fence, work, commit. `changeset` is blamed if the database refuses the commit. The
    /// work returns by how much it changes the fingerprint. Returns the row as it is then.
    pub(crate) fn transact<'c, W, F>(
        self: &'c Arc<Self>,
        from: &ProjectionState,
        to: ProjectionState,
        changeset: Option<ChangesetRef>,
        work: W,
    ) -> BoxFuture<'c, Result<ProjectionState, StepError>>
    where
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<F, StepError>> + Send + 'static,
        F: Into<Fingerprint> + Send + 'static,
    {
        let (core, believed) = (self.clone(), from.position);
        self.run(async move {
            let tx = core.begin().await?;
            core.fence_and_work(tx, believed, to, changeset, work).await
        })
        .boxed()
    }

    /// Like [`transact`](Self::transact), but from the current position: other workers may have moved it
    /// since `seen`, as long as nothing else in the row has changed. Locks the row first. Otherwise a worker
    /// that makes one step after another would always be faster than a caller that reads and then compares.
    pub(crate) fn transact_wherever<'c, E, W, F>(
        self: &'c Arc<Self>,
        seen: &ProjectionState,
        to: impl FnOnce(&ProjectionState) -> Result<ProjectionState, E> + Send + 'static,
        changeset: Option<ChangesetRef>,
        work: W,
    ) -> BoxFuture<'c, Result<ProjectionState, E>>
    where
        E: From<StepError> + Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<F, StepError>> + Send + 'static,
        F: Into<Fingerprint> + Send + 'static,
    {
        let (core, epoch, version) = (self.clone(), seen.position.epoch, seen.version);
        let transaction = async move {
            let mut tx = core.begin().await?;
            let found = tx.lock(core.id()).await.map_err(StepError::from)?;
            let found = found.filter(|found| found.position.epoch == epoch && found.version == version);
            let mut found = found.ok_or(StepError::Fenced)?;
            core.know_skips(&mut tx, &mut found).await?;
            let to = match to(&found) {
                Ok(to) => to,
                Err(refused) => return Ok(Err(refused)),
            };
            Ok(Ok(core.fence_and_work(tx, found.position, to, changeset, work).await?))
        };
        async move { self.run(transaction).await? }.boxed()
    }

    /// Runs a transaction without blocking other tasks, for a limited time.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        transaction: impl Future<Output = Result<T, StepError>> + Send + 'static,
    ) -> Result<T, StepError> {
        let in_time = async {
            tokio::time::timeout(TRANSACTION_MAX, transaction).await.unwrap_or_else(|_| Err(too_long()))
        };
        self.database.run(in_time).await?
    }

    async fn fence_and_work<W, F>(
        &self,
        mut tx: D::Tx,
        believed: Position,
        mut to: ProjectionState,
        changeset: Option<ChangesetRef>,
        work: W,
    ) -> Result<ProjectionState, StepError>
    where
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<F, StepError>> + Send + 'static,
        F: Into<Fingerprint>,
    {
        if self.fingerprinted.is_none() {
            // What this program writes would not be in it.
            to.fingerprint = None;
        }
        // Fence before applying: a rival that stalled must lose here, not after its writes.
        if !tx.replace(&self.id, believed, &to).await? {
            return Err(StepError::Fenced);
        }
        let changed: Fingerprint = work(&mut tx).await?.into();
        if let Some(kept) = to.fingerprint.filter(|_| changed != Fingerprint::default()) {
            to.fingerprint = Some(kept.plus(changed));
            if !tx.replace(&self.id, to.position, &to).await? {
                return Err(StepError::Fenced);
            }
        }
        match (tx.commit().await, changeset) {
            (Ok(()), _) => Ok(to),
            (Err(error), _) if error.is::<Fenced>() => Err(StepError::Fenced),
            (Err(error), Some(changeset)) if error.is::<TooLarge>() => {
                Err(StepError::TooLarge { at: believed, changeset, error: chain(&*error) })
            }
            (Err(error), Some(changeset)) if !D::is_transient(&*error) => {
                Err(StepError::Failed { at: believed, changeset, error: chain(&*error) })
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

async fn work_and_commit<Tx, T, W>(mut tx: Tx, work: W) -> Result<T, StepError>
where
    Tx: Transaction,
    W: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<T, StepError>> + Send,
{
    let done = work(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

/// No work: a transaction that changes nothing but the row.
pub(crate) fn no_work<Tx>(_: &mut Tx) -> BoxFuture<'_, Result<(), StepError>> {
    async { Ok(()) }.boxed()
}

fn too_long() -> StepError {
    let minutes = TRANSACTION_MAX.as_secs() / 60;
    StepError::Database(format!("the transaction did not end within {minutes} minutes").into())
}
