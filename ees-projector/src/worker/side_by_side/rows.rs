//! All rows of one read model: that of the whole, and those of its partitions.

use std::sync::Arc;

use ees_store::Checkpoint;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};

use crate::database::{Database, PartitionRow, Transaction};
use crate::partition::{Partition, Split};
use crate::projection_state::{Pause, ProjectionState};
use crate::read_model_id::{ReadModelId, Slot};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;

/// All rows of one read model.
pub(crate) struct Rows {
    pub(crate) whole: ProjectionState,
    /// In order. Empty if it is not split.
    pub(crate) partitions: Vec<PartitionRow>,
}

impl Rows {
    /// Reads the rows, that of the whole first. `locked` locks them until the transaction ends.
    pub(super) async fn read<Tx: Transaction>(
        tx: &mut Tx,
        model: &ReadModelId,
        locked: bool,
    ) -> Result<Option<Self>, StepError> {
        let whole = if locked { tx.lock(model).await? } else { tx.load(model).await? };
        let Some(whole) = whole else { return Ok(None) };
        let partitions = match whole.split {
            Some(_) => tx.partitions(model, locked).await?,
            None => Vec::new(),
        };
        if partitions.len() != whole.split.map_or(0, |split| split.count as usize) {
            // Changed between the two queries.
            return Err(StepError::Fenced);
        }
        Ok(Some(Self { whole, partitions }))
    }

    /// Returns the checkpoint that each partition reads next, or that the whole does.
    pub(crate) fn positions(&self) -> Vec<Checkpoint> {
        self.all().map(|(_, row)| row.position.next).collect()
    }

    /// Returns the lowest position.
    pub(crate) fn lowest(&self) -> Checkpoint {
        self.positions().into_iter().min().unwrap_or(self.whole.position.next)
    }

    /// Returns the pause of the whole, or of a partition.
    pub(super) fn pause(&self) -> Option<&Pause> {
        let of_partitions = self.partitions.iter().find_map(|row| row.state.pause.as_ref());
        self.whole.pause.as_ref().or(of_partitions)
    }

    /// Returns `true` if the number of partitions is being changed.
    fn is_changing(&self) -> bool {
        self.whole.split.is_some_and(|split| split.next_count.is_some())
    }

    /// Returns `true` while the read model is being rebuilt or the number of its partitions is being changed: until then it
    /// does not come to the checkpoint of one that is complete.
    pub(super) fn is_on_the_way(&self) -> bool {
        self.is_changing() || self.all().any(|(_, row)| row.rebuild_until.is_some())
    }

    /// Returns `true` if both are split in the same way, and stay so.
    pub(super) fn is_split_like(&self, other: &Self) -> bool {
        self.whole.split == other.whole.split && !self.is_changing()
    }

    /// Returns `true` if this one is split, and stays so, as the other one is or will be: a change of the number of its
    /// partitions may be in progress.
    pub(crate) fn is_split_as_wanted_of(&self, other: &Self) -> bool {
        self.whole.partitions() == other.whole.partitions() && !self.is_changing()
    }

    /// Returns the checkpoint that each partition of this read model, or the whole, must have reached to have applied
    /// of its streams what `other` has; but none past the end of the log.
    pub(crate) fn ends(&self, other: &Self, end_of_log: Checkpoint) -> Vec<Checkpoint> {
        let reached_by = |partition: Option<Partition>| {
            let reached = other.all().filter(|(theirs, row)| {
                // The streams of a segment of the log are not those of a partition.
                let shares = partition.zip(*theirs).is_none_or(|(own, their)| own.shares_streams_with(their));
                shares || row.segment.is_some()
            });
            reached
                .map(|(_, row)| row.reached_in_any_stream())
                .max()
                .unwrap_or(Checkpoint::START)
                .min(end_of_log)
        };
        match self.whole.split {
            None => vec![reached_by(None)],
            Some(split) => Partition::all(split.count).map(|partition| reached_by(Some(partition))).collect(),
        }
    }

    /// The rows that workers move.
    fn all(&self) -> impl Iterator<Item = (Option<Partition>, &ProjectionState)> {
        let of_partitions =
            self.whole.split.into_iter().flat_map(|split| Partition::all(split.count)).map(Some);
        let of_partitions = of_partitions.zip(self.partitions.iter().map(|row| &row.state));
        self.whole.split.is_none().then_some((None, &self.whole)).into_iter().chain(of_partitions)
    }
}

impl ProjectionState {
    /// Returns the highest checkpoint up to which any stream may be applied.
    fn reached_in_any_stream(&self) -> Checkpoint {
        let of_segment = self.segment.as_ref().map_or(Checkpoint::START, |segment| segment.until);
        self.position.next.max(of_segment)
    }
}

impl<D: Database> Core<D> {
    /// Reads the rows of the live read model, in a transaction of its own: one that has begun on another slot never
    /// goes on to the live one, since others go the opposite way.
    pub(super) async fn live_rows(&self) -> Result<Rows, StepError> {
        Arc::new(self.onto(Slot::Live)).rows().await?.ok_or_else(no_live)
    }

    /// Reads the rows of this read model.
    async fn rows(self: &Arc<Self>) -> Result<Option<Rows>, StepError> {
        let core = self.clone();
        self.read(move |tx| async move { Rows::read(tx, core.id(), false).await }.boxed()).await
    }
}

impl<D: Database> Runner<D> {
    pub(super) async fn own_rows(&self) -> Result<Rows, StepError> {
        self.core.rows().await?.ok_or(StepError::Absent)
    }

    /// Makes this read model split as the live one is, or will be once a change of its partitions is over. Returns `false`
    /// if that is not so yet: look again.
    pub(crate) fn is_split_like_live(&mut self) -> BoxFuture<'_, Result<bool, StepError>> {
        async move {
            let live = self.core.live_rows().await?;
            let own = self.own_rows().await?;
            if own.is_split_as_wanted_of(&live) {
                return Ok(true);
            }
            let count = live.whole.partitions();
            match own.whole.split {
                Some(split) if split.next_count == Some(count) => {
                    // Nobody else moves the partitions of a scratch read model or a preview.
                    let is_alone = self.core.slot() != Slot::Standby;
                    if let Some(barrier) = split.barrier.filter(|_| is_alone) {
                        self.step_rows_to(&vec![barrier; split.count as usize]).await?;
                    }
                    match self.tend_partitions(own.whole, split).await {
                        Ok(()) | Err(StepError::Fenced) => {}
                        Err(error) => return Err(error),
                    }
                }
                split => {
                    if split.is_none() {
                        // Read once, and not once for each partition.
                        self.step_to(live.lowest()).await?;
                    }
                    self.core.split(split, count, None).await?;
                    self.partitions.wake();
                }
            }
            self.state.forget();
            // Without partitions before, it is split at once.
            Ok(self.own_rows().await?.is_split_as_wanted_of(&live))
        }
        .boxed()
    }

    /// Applies changesets up to exactly these checkpoints, unless they were passed already. Partitions must stand
    /// still: their own workers would go on.
    pub(super) async fn step_rows_to(&mut self, ends: &[Checkpoint]) -> Result<(), StepError> {
        let count = match (self.own_rows().await?.whole.split, ends) {
            (None, [end]) => return self.step_to(*end).await.map(drop),
            (Some(Split { count, .. }), ends) if ends.len() == count as usize => count,
            // One of the two was split meanwhile.
            _ => return Err(StepError::Fenced),
        };
        // All at once: each may have to wait for a connection that a worker of the held read model has.
        let steps = Partition::all(count).zip(ends).map(|(partition, end)| {
            let status = Arc::new(WorkerStatus::of_partition(&self.status));
            let mut runner = Runner::new(Arc::new(self.core.onto_partition(partition)), status);
            runner.stop = self.stop.clone();
            async move { runner.step_to(*end).await }.boxed()
        });
        try_join_all(steps).await.map(drop)
    }
}

/// Returns the error where there is nothing to compare or swap with.
pub(super) fn no_live() -> StepError {
    StepError::Setup("there is no live read model".to_owned())
}
