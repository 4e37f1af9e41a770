//! A rebuild that reads the log by segments: each worker reads its own share of the streams, one stream after the
//! other, and no worker reads what belongs to another.
//!
//! The head of the log is noted first. How far a segment is read is in the row, and moves in the transaction that
//! writes the rows. After its last changeset the projection is at the noted head, and reads the log from there on in
//! its order. Workers that share the projection wait for each other at the noted head (see `partitions`).

use ees_store::{Checkpoint, LogPage, Segment, SegmentQuery};

use crate::database::Database;
use crate::projection::Order;
use crate::segment_progress::SegmentProgress;
use crate::worker::batch::{Batch, PartOfSegment};
use crate::worker::batch_size::Portion;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::log_identity::went_back;
use crate::worker::operations::operation::OperateError;

impl<D: Database> Core<D> {
    /// Checks whether a rebuild may read the log by segments.
    pub(crate) fn check_by_segments(&self) -> Result<(), OperateError> {
        if self.processor.order() == Order::Log {
            return Err(OperateError::NotSupported(
                "this projection needs the global order (Order::Log), and segments keep the order within streams only: \
                 rebuild it without them; or, if that is all it needs, declare Order::Stream",
            ));
        }
        if !self.log.has_segments() {
            return Err(OperateError::NotSupported(
                "this log can't be read by segments: one in DynamoDB can, by a process that has the table. Rebuild \
                 without them",
            ));
        }
        Ok(())
    }

    /// Tries to read a segment, before anything is wiped: the process may lack the right to.
    pub(crate) async fn try_segments(&self) -> Result<(), OperateError> {
        self.check_by_segments()?;
        let (segment, until) = (Segment { index: 0, count: 1 }, Checkpoint::START);
        let tried =
            self.log.read_segment(SegmentQuery { limit: 1, ..SegmentQuery::of(segment, until) }).await;
        match tried {
            Ok(_) => Ok(()),
            Err(error) => Err(OperateError::Failed(format!(
                "the log can't be read by segments (in DynamoDB that needs the right to dynamodb:Scan): {error}"
            ))),
        }
    }

    /// Reads and decodes the next part of a segment. Safe to drop at any moment.
    pub(crate) async fn fetch_segment(
        &self,
        from: &SegmentProgress,
        portion: Portion,
    ) -> Result<Batch, StepError> {
        let SegmentProgress { segment, until, after, .. } = from.clone();
        let filter = self.processor.subscription().log_filter();
        let (limit, max_bytes) = (portion.changesets, portion.bytes);
        let read =
            self.log.read_segment(SegmentQuery { segment, until, after, limit, max_bytes, filter }).await?;
        // After the read: a log that was replaced meanwhile is another one from here on.
        let head = self.log.head().await?;
        if head.checkpoint < until {
            return Err(went_back(&head, until));
        }
        let next = if read.next.is_some() { Checkpoint::START } else { until };
        let mut page = LogPage::new(Checkpoint::START, read.changesets, next, head);
        page.changesets.retain(|entry| self.is_subscribed_to(entry));
        let mut batch = self.decode_all(Checkpoint::START, page).await?;
        batch.read = usize::try_from(read.passed).unwrap_or(usize::MAX);
        batch.tally.left_out = read.passed.saturating_sub(batch.changesets.len() as u64);
        if read.next.is_none() {
            batch.last = self.before(until).await?;
        }
        batch.segment = Some(PartOfSegment {
            from: from.clone(),
            next: read.next,
            passed: read.passed,
            read_units: read.read_units,
        });
        Ok(batch)
    }
}
