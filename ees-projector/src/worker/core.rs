//! What a worker works with: a processor, the database it writes and the log it reads; and how it runs a transaction.

use std::sync::Arc;
use std::time::Duration;

use ees_store::{ChangesetLog, LogHead};
use futures::future::BoxFuture;

use crate::database::{Database, Fenced, TooLarge, Transaction};
use crate::error::chain;
use crate::partition::Partition;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::read_model_id::{ReadModelId, Slot};
use crate::settings::Settings;
use crate::worker::error::StepError;
use crate::worker::processor::Processor;

/// A transaction that takes longer waits for a database that is gone.
const TRANSACTION_MAX: Duration = Duration::from_secs(10 * 60);

/// A projection or a reactor, the database it writes and the log it reads.
pub(crate) struct Core<D: Database> {
    pub(crate) processor: Arc<dyn Processor<D::Tx>>,
    pub(crate) database: Arc<D>,
    pub(crate) log: Arc<dyn ChangesetLog>,
    pub(crate) settings: Settings,
    id: ReadModelId,
    partition: Option<Partition>,
}

impl<D: Database> Core<D> {
    pub(crate) fn new(
        processor: Arc<dyn Processor<D::Tx>>,
        database: D,
        log: Arc<dyn ChangesetLog>,
        settings: Settings,
    ) -> Self {
        let id = ReadModelId::new(processor.name(), Slot::Live);
        Self { processor, database: Arc::new(database), log, settings, id, partition: None }
    }

    /// The same projection onto another of its read models.
    pub(crate) fn onto(&self, slot: Slot) -> Self {
        Self {
            processor: self.processor.clone(),
            database: self.database.clone(),
            log: self.log.clone(),
            settings: self.settings,
            id: self.id.with_slot(slot),
            partition: None,
        }
    }

    /// The same read model, for some of its streams.
    pub(crate) fn onto_partition(&self, partition: Partition) -> Self {
        Self { partition: Some(partition), id: self.id.of_partition(partition), ..self.onto(self.slot()) }
    }

    /// Which read model it writes, and the row with its position.
    pub(crate) fn id(&self) -> &ReadModelId {
        &self.id
    }

    /// The read model's name; of the live one, the projection's.
    pub(crate) fn name(&self) -> &str {
        self.id.name()
    }

    /// Which of the projection's read models it writes.
    pub(crate) fn slot(&self) -> Slot {
        self.id.slot()
    }

    /// The read model that serves.
    pub(crate) fn live(&self) -> ReadModelId {
        self.id.with_slot(Slot::Live)
    }

    /// Which of the streams it is for; all when none.
    pub(crate) fn partition(&self) -> Option<Partition> {
        self.partition
    }

    /// Whether its streams are its partitions' by now, and nobody else's.
    pub(crate) fn is_dealt_out(&self, state: &ProjectionState) -> bool {
        state.split.is_some() && self.partition.is_none()
    }

    /// Where the log ends.
    pub(crate) async fn head(&self) -> Result<LogHead, StepError> {
        Ok(self.log.head().await?)
    }

    /// Begins a transaction for callers that hold several at once; all others take [`read`](Self::read),
    /// [`write`](Self::write) or [`transact`](Self::transact).
    pub(crate) async fn begin(&self) -> Result<D::Tx, StepError> {
        Ok(self.database.begin().await?)
    }

    /// Looks something up in a transaction that changes nothing.
    pub(crate) async fn read<T, W>(self: &Arc<Self>, work: W) -> Result<T, StepError>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    {
        let core = self.clone();
        self.run(async move { work(&mut core.begin().await?).await }).await
    }

    /// Changes something in a transaction, without the fence.
    pub(crate) async fn write<T, W>(self: &Arc<Self>, work: W) -> Result<T, StepError>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    {
        let core = self.clone();
        self.run(async move {
            let mut tx = core.begin().await?;
            let done = work(&mut tx).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await
    }

    /// As [`write`](Self::write), and on disk when it comes back.
    pub(crate) async fn write_durably<T, W>(self: &Arc<Self>, work: W) -> Result<T, StepError>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    {
        let core = self.clone();
        self.run(async move {
            let mut tx = core.database.begin_durable().await?;
            let done = work(&mut tx).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await
    }

    /// Runs a piece of work in one transaction: fence, work, commit. `changeset` is what is blamed for a commit that
    /// the database refuses, if anything.
    pub(crate) async fn transact<W>(
        self: &Arc<Self>,
        from: &ProjectionState,
        to: ProjectionState,
        changeset: Option<ChangesetRef>,
        work: W,
    ) -> Result<(), StepError>
    where
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<(), StepError>> + Send + 'static,
    {
        let (core, believed) = (self.clone(), from.position);
        self.run(async move {
            let tx = core.begin().await?;
            core.fence_and_work(tx, believed, &to, changeset, work).await
        })
        .await
    }

    /// As [`transact`](Self::transact), from wherever another worker's steps have taken the projection since it was
    /// `seen`, as long as nothing else has changed it. Holds the row first: a worker that makes one step after the other
    /// would always be faster than somebody who reads the row and then compares.
    pub(crate) async fn transact_wherever<E, W>(
        self: &Arc<Self>,
        seen: &ProjectionState,
        to: impl FnOnce(&ProjectionState) -> Result<ProjectionState, E> + Send + 'static,
        changeset: Option<ChangesetRef>,
        work: W,
    ) -> Result<ProjectionState, E>
    where
        E: From<StepError> + Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<(), StepError>> + Send + 'static,
    {
        let (core, epoch, version) = (self.clone(), seen.position.epoch, seen.version);
        let transaction = async move {
            let mut tx = core.begin().await?;
            let found = tx.lock(core.id()).await.map_err(StepError::from)?;
            let found = found.filter(|found| found.position.epoch == epoch && found.version == version);
            let found = found.ok_or(StepError::Fenced)?;
            let to = match to(&found) {
                Ok(to) => to,
                Err(refused) => return Ok(Err(refused)),
            };
            core.fence_and_work(tx, found.position, &to, changeset, work).await?;
            Ok(Ok(to))
        };
        self.run(transaction).await?
    }

    /// Runs a transaction where it does no harm to other tasks, for a bounded time.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        transaction: impl Future<Output = Result<T, StepError>> + Send + 'static,
    ) -> Result<T, StepError> {
        let in_time = async {
            tokio::time::timeout(TRANSACTION_MAX, transaction).await.unwrap_or_else(|_| Err(too_long()))
        };
        self.database.run(in_time).await?
    }

    async fn fence_and_work<W>(
        &self,
        mut tx: D::Tx,
        believed: Position,
        to: &ProjectionState,
        changeset: Option<ChangesetRef>,
        work: W,
    ) -> Result<(), StepError>
    where
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<(), StepError>> + Send + 'static,
    {
        // Fence before applying: a rival that stalled must lose here, not after its writes.
        if !tx.replace(&self.id, believed, to).await? {
            return Err(StepError::Fenced);
        }
        work(&mut tx).await?;
        match (tx.commit().await, changeset) {
            (Ok(()), _) => Ok(()),
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

fn too_long() -> StepError {
    let minutes = TRANSACTION_MAX.as_secs() / 60;
    StepError::Database(format!("the transaction was not done after {minutes} minutes").into())
}
