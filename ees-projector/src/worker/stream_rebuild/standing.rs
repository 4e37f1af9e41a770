//! Where a read model is: what it has applied of each stream.

use std::collections::HashMap;

use ees_store::{ChangesetId, Checkpoint, StreamId};

use crate::database::{Database, ParkedRows, PartitionRow, Transaction};
use crate::partition::Partition;
use crate::projection_state::ProjectionState;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::operations::reads_segments;

/// Where a read model is.
pub(crate) struct Standing {
    pub(crate) state: ProjectionState,
    /// The rows of its partitions, if it is split.
    pub(crate) partitions: Vec<PartitionRow>,
    /// The parked streams, each with its first parked changeset.
    pub(crate) parked: HashMap<StreamId, ChangesetId>,
}

/// What a read model has done with a changeset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// It was applied, or skipped.
    Passed,
    Parked,
    /// It has not come to it yet.
    Ahead,
}

impl Standing {
    /// Returns what the read model has done with a changeset of a stream.
    pub(crate) fn became(&self, stream_id: &StreamId, changeset_id: ChangesetId, at: Checkpoint) -> Became {
        if at >= self.position_of(stream_id) {
            Became::Ahead
        } else if self.parked.get(stream_id).is_some_and(|first| changeset_id >= *first) {
            Became::Parked
        } else {
            Became::Passed
        }
    }

    /// Returns the rows that say what was applied: that of the whole, or those of the partitions.
    pub(super) fn rows(&self) -> impl Iterator<Item = &ProjectionState> {
        let whole = self.partitions.is_empty().then_some(&self.state);
        self.partitions.iter().map(|row| &row.state).chain(whole)
    }

    /// Returns the checkpoint before which everything is applied.
    pub(super) fn end(&self) -> Checkpoint {
        let of_partitions = self.partitions.iter().map(|row| row.state.position.next).max();
        of_partitions.unwrap_or(self.state.position.next)
    }

    /// Returns the checkpoint up to which the slowest has applied everything.
    pub(super) fn lowest(&self) -> Checkpoint {
        let of_partitions = self.partitions.iter().map(|row| row.state.position.next).min();
        of_partitions.unwrap_or(self.state.position.next)
    }

    /// Returns the checkpoint before which everything of a stream is applied, skipped or parked.
    fn position_of(&self, stream_id: &StreamId) -> Checkpoint {
        self.partition_of(stream_id).map_or(self.state.position.next, |row| row.state.position.next)
    }

    /// Returns the partition that applies a stream, if there are any.
    pub(crate) fn partition_of(&self, stream_id: &StreamId) -> Option<&PartitionRow> {
        let count = u32::try_from(self.partitions.len()).ok().filter(|count| *count > 0)?;
        self.partitions.get(Partition::of(stream_id, count).index as usize)
    }

    /// Returns the first parked changeset of a stream.
    fn parked(&self, stream_id: &StreamId) -> Option<ChangesetId> {
        self.parked.get(stream_id).copied()
    }

    /// Returns `true` if a replay that ended at an earlier look goes on up to this one. `streams`: each with the
    /// changeset that the replay would apply next.
    pub(crate) fn goes_on_from<'s>(
        &self,
        before: &Self,
        streams: impl IntoIterator<Item = (&'s StreamId, ChangesetId)>,
    ) -> bool {
        self.state.skips == before.state.skips
            && self.partitions.len() == before.partitions.len()
            && streams.into_iter().all(|(stream_id, next)| {
                let parks_what_comes = match (before.parked(stream_id), self.parked(stream_id)) {
                    (None, Some(first)) => first >= next,
                    (before, now) => before == now,
                };
                parks_what_comes && self.position_of(stream_id) >= before.position_of(stream_id)
            })
    }

    /// Returns `true` if nothing of these streams was applied since an earlier look.
    pub(crate) fn is_at<'s>(&self, before: &Self, streams: impl IntoIterator<Item = &'s StreamId>) -> bool {
        streams.into_iter().all(|stream_id| self.position_of(stream_id) == before.position_of(stream_id))
    }
}

impl<D: Database> Core<D> {
    /// Checks that the log is still the one that the read model was made of.
    pub(super) async fn verify_log(&self, standing: &Standing) -> Result<(), OperateError> {
        self.verified_head(standing.rows()).await?;
        Ok(())
    }

    /// Reads where this read model is, and locks that until the transaction ends.
    pub(super) async fn lock_standing(&self, tx: &mut D::Tx) -> Result<Standing, OperateError> {
        let found = tx.lock(self.id()).await.map_err(StepError::from)?;
        let mut state = found.ok_or(OperateError::NeverStarted)?;
        if state.version != self.processor.version() {
            return Err(OperateError::Absent);
        }
        if state.segment.is_some() {
            return Err(reads_segments());
        }
        let mut partitions = Vec::new();
        if self.is_left_to_partitions(&state) {
            partitions = tx.partitions(self.id(), true).await.map_err(StepError::from)?;
            self.know_skips(tx, &mut state).await?;
        }
        // The row of the whole keeps the end of a rebuild that its partitions have reached, if they stay partitions.
        let is_joined = state.split.is_some_and(|split| split.next_count.is_some());
        let whole = (partitions.is_empty() || is_joined).then_some(&state);
        let rows = partitions.iter().map(|row| &row.state).chain(whole);
        if let Some(until) = rows.filter_map(|row| row.rebuild_until).max() {
            return Err(OperateError::Failed(format!(
                "the projection is being rebuilt up to checkpoint {until}, which makes all rows anew: wait until it has \
                 ended"
            )));
        }
        let parked = tx.parked(self.id()).await.map_err(StepError::from)?;
        let parked = parked.into_iter().map(|stream| (stream.stream_id, stream.first)).collect();
        Ok(Standing { state, partitions, parked })
    }

    /// The fence of the rebuild of some streams: it replaces the rows that say what was applied by what `becomes` makes
    /// of them, and fails if they have changed since.
    pub(super) async fn fence_streams<'s>(
        &self,
        tx: &mut D::Tx,
        standing: &Standing,
        streams: impl Iterator<Item = &'s StreamId>,
        becomes: impl Fn(&ProjectionState) -> ProjectionState,
    ) -> Result<(), StepError> {
        let concerned: HashMap<_, _> = streams
            .filter_map(|stream_id| standing.partition_of(stream_id))
            .map(|row| (row.id.key().to_owned(), row))
            .collect();
        for row in concerned.into_values() {
            if !tx.replace(&row.id, row.state.position, &becomes(&row.state)).await? {
                return Err(StepError::Fenced);
            }
        }
        // The last one: it makes the tables of this read model those that are read.
        if tx.replace(self.id(), standing.state.position, &becomes(&standing.state)).await? {
            Ok(())
        } else {
            Err(StepError::Fenced)
        }
    }
}
