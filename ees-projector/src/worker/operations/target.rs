//! Finds what an operator's action is about: a changeset, a row.

use std::sync::Arc;

use ees_store::{Checkpoint, LogQuery, StreamId};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::database::{Database, Transaction};
use crate::projection_state::{ChangesetRef, ProjectionState};
use crate::read_model_id::Slot;
use crate::segment_progress::SegmentProgress;
use crate::worker::batch::reference_to;
use crate::worker::batch_size::Portion;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::operations::transition::{Transition, reads_segments};
use crate::worker::runner::Runner;

impl<D: Database> Core<D> {
    /// Returns the changeset at this checkpoint, if there is one.
    pub(super) async fn changeset_at(
        self: &Arc<Self>,
        checkpoint: Checkpoint,
    ) -> Result<Option<ChangesetRef>, StepError> {
        let page = self.log.read(LogQuery::from(checkpoint, 1)).await?;
        Ok(page.changesets.first().map(reference_to).filter(|found| found.checkpoint == checkpoint))
    }
}

impl<D: Database> Runner<D> {
    /// Returns how a changeset is skipped: the next one of the projection, or the first one of a parked stream.
    pub(super) fn to_skip<'a>(
        &'a self,
        state: &'a ProjectionState,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(Transition, ChangesetRef), OperateError>> {
        async move {
            if let Some(changeset) = self.is_next(state, checkpoint).await? {
                let from = state.position.next;
                return Ok((Transition::SkipNext { from, changeset: changeset.clone() }, changeset));
            }
            if state.segment.is_some() {
                return Err(reads_segments());
            }
            let changeset = self.first_parked(checkpoint).await?;
            Ok((Transition::SkipParked(changeset.clone()), changeset))
        }
        .boxed()
    }

    /// Returns the changeset at this checkpoint, if it is the next one of the projection.
    async fn is_next(
        &self,
        state: &ProjectionState,
        checkpoint: Checkpoint,
    ) -> Result<Option<ChangesetRef>, StepError> {
        if let Some(segment) = &state.segment {
            let first = self.first_of_segment(segment.clone()).await?;
            return Ok(first.filter(|found| found.checkpoint == checkpoint));
        }
        let mut from = state.position.next;
        let filter = self.core.processor.subscription().log_filter();
        // The next changeset that passes the filter may come after some that don't.
        while from <= checkpoint {
            let query = LogQuery::from(from, 1).with_filter(filter.clone());
            let page = self.core.log.read(query).await?;
            let foreign =
                |stream: &StreamId| self.core.partition().is_some_and(|partition| !partition.owns(stream));
            if let Some(first) = page.changesets.first().filter(|first| !foreign(&first.stream_id)) {
                return Ok(Some(reference_to(first)).filter(|found| found.checkpoint == checkpoint));
            }
            if page.next == from {
                break;
            }
            from = page.next;
        }
        Ok(None)
    }

    /// Returns the first changeset of the rest of a segment that the subscription does not leave out.
    async fn first_of_segment(&self, mut rest: SegmentProgress) -> Result<Option<ChangesetRef>, StepError> {
        let one = Portion { changesets: 1, ..self.core.batch() };
        loop {
            let batch = self.core.fetch_segment(&rest, one).await?;
            let next = batch.segment.as_ref().and_then(|part| Some((part.next.clone()?, part.passed)));
            match (batch.reference(0), next) {
                (None, Some((next, passed))) => rest = rest.at(next, passed),
                (first, _) => return Ok(first),
            }
        }
    }

    /// Returns the changeset at this checkpoint, if it is the first one of a parked stream.
    async fn first_parked(&self, checkpoint: Checkpoint) -> Result<ChangesetRef, OperateError> {
        let found = self.core.changeset_at(checkpoint).await?;
        let parked = self.core.parked().await?;
        let is_first = |changeset: &ChangesetRef| {
            parked.iter().any(|stream| {
                stream.stream_id == changeset.stream_id && stream.first == changeset.changeset_id
            })
        };
        found.filter(is_first).ok_or(OperateError::NotSkippable { checkpoint })
    }

    /// Returns the row as it is stored, even if this program can't run it.
    pub(in crate::worker) async fn stored(&self) -> Result<ProjectionState, OperateError> {
        let core = self.core.clone();
        let stored = self.core.read(move |tx| async move { Ok(tx.load(core.id()).await?) }.boxed()).await?;
        stored.ok_or(match self.core.slot() {
            Slot::Live => OperateError::NeverStarted,
            Slot::Standby | Slot::Scratch | Slot::Preview => OperateError::NoStandby,
        })
    }
}
