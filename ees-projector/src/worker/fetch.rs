//! Reads and decodes a page of the log, with no transaction open.

use std::time::Duration;

use ees_store::{Checkpoint, LogEntry, LogPage, LogQuery, Timestamp};

use crate::database::Database;
use crate::projection_state::{ChangesetRef, ProjectionState};
use crate::worker::batch::{Batch, reference_to};
use crate::worker::batch_size::Portion;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::log_identity::{is_late, late};

/// Decoding a page with this many changesets takes long enough to delay other tasks of the thread.
const DECODED_ELSEWHERE_MIN: usize = 50;

/// How much later than a changeset's the times of changesets before it in the log may be. See
/// [`Subscription::since`](crate::Subscription::since).
const OUT_OF_ORDER_MAX: Duration = Duration::from_secs(60 * 60);

impl<D: Database> Core<D> {
    /// Reads and decodes what a projection in this state applies next. Safe to drop at any moment.
    pub(crate) async fn fetch_next(
        &self,
        state: &ProjectionState,
        portion: Portion,
        wait: Duration,
    ) -> Result<Batch, StepError> {
        match &state.segment {
            Some(segment) => self.fetch_segment(segment, portion).await,
            None => self.fetch(state.position.next, portion, wait).await,
        }
    }

    /// Reads and decodes the changesets at a checkpoint. Safe to drop at any moment.
    pub(crate) async fn fetch(
        &self,
        from: Checkpoint,
        portion: Portion,
        wait: Duration,
    ) -> Result<Batch, StepError> {
        let query = LogQuery {
            max_bytes: portion.bytes,
            ..LogQuery::from(self.passed_unread(from).await?, portion.changesets)
                .with_wait(wait)
                .with_filter(self.processor.subscription().log_filter())
        };
        let page = self.log.read(query.clone()).await?;
        let page = if portion.is_span { self.read_on(&query, page).await? } else { page };
        self.decode(from, page).await
    }

    /// Like [`fetch`](Self::fetch), without waiting and only up to `end`, exclusive.
    pub(crate) async fn fetch_until(
        &self,
        from: Checkpoint,
        end: Checkpoint,
        changesets: usize,
    ) -> Result<Batch, StepError> {
        self.decode(from, self.page_until(from, end, changesets).await?).await
    }

    /// Like [`fetch_until`](Self::fetch_until), where the log is known to have come to `end`: what it does not show yet is an
    /// error that passes.
    pub(crate) async fn fetch_known_until(
        &self,
        from: Checkpoint,
        end: Checkpoint,
        changesets: usize,
    ) -> Result<Batch, StepError> {
        let page = self.page_until(from, end, changesets).await?;
        if is_late(&page, from) {
            return Err(late(from));
        }
        self.decode(from, page).await
    }

    async fn page_until(
        &self,
        from: Checkpoint,
        end: Checkpoint,
        changesets: usize,
    ) -> Result<LogPage, StepError> {
        let query = LogQuery {
            max_bytes: self.settings.batch_bytes_max,
            ..LogQuery::from(self.passed_unread(from).await?, changesets)
                .with_filter(self.processor.subscription().log_filter())
        };
        let mut page = self.log.read(query).await?;
        page.changesets.retain(|changeset| changeset.checkpoint < end);
        page.next = page.next.min(end);
        Ok(page)
    }

    /// Reads and decodes the changeset at a checkpoint. The batch is empty if the subscription leaves it out.
    pub(crate) async fn fetch_changeset(&self, at: Checkpoint) -> Result<Batch, StepError> {
        // Without the filter: the log would look for the next one that passes.
        let mut page = self.log.read(LogQuery::from(at, 1)).await?;
        if is_late(&page, at) {
            return Err(late(at));
        }
        let filter = self.processor.subscription().log_filter();
        page.changesets.retain(|found| found.checkpoint == at && filter.accepts(found));
        page.next = at.next();
        self.decode(at, page).await
    }

    /// Returns where to read on at a checkpoint: at the start of the log, past what was committed too early for the
    /// subscription.
    pub(crate) async fn passed_unread(&self, from: Checkpoint) -> Result<Checkpoint, StepError> {
        match self.processor.subscription().since {
            Some(since) if from == Checkpoint::START => {
                Ok(self.log.checkpoint_at(since.earlier_by(OUT_OF_ORDER_MAX)).await?)
            }
            _ => Ok(from),
        }
    }

    pub(super) async fn decode(&self, from: Checkpoint, mut page: LogPage) -> Result<Batch, StepError> {
        // The last changeset identifies the log later, even if this partition or the filter leaves it out.
        let read = page.changesets.len();
        let last =
            page.changesets.last().map(reference_to).filter(|last| last.checkpoint.next() == page.next);
        page.changesets
            .retain(|changeset| self.is_subscribed_to(changeset) && !self.is_parked_there(changeset));
        if let Some(partition) = self.partition() {
            page.changesets.retain(|changeset| partition.owns(&changeset.stream_id));
        }
        let mut batch = self.decode_all(from, page).await?;
        batch.read = read;
        batch.last = match last {
            None if batch.next > from => self.before(batch.next).await?,
            last => last,
        };
        Ok(batch)
    }

    /// Returns `true` if the changeset was not committed before the subscription begins.
    pub(super) fn is_subscribed_to(&self, entry: &LogEntry) -> bool {
        let since = self.processor.subscription().since;
        since.is_none_or(|since| entry.timestamp >= since || entry.timestamp == Timestamp::default())
    }

    /// Returns the changeset before a checkpoint, if there is one at the last place before it.
    pub(super) async fn before(&self, checkpoint: Checkpoint) -> Result<Option<ChangesetRef>, StepError> {
        let before = Checkpoint::new(checkpoint.get() - 1);
        let page = self.log.read(LogQuery::from(before, 1)).await?;
        Ok(page.changesets.first().map(reference_to).filter(|last| last.checkpoint == before))
    }

    pub(super) async fn decode_all(&self, from: Checkpoint, page: LogPage) -> Result<Batch, StepError> {
        if page.changesets.len() < DECODED_ELSEWHERE_MIN {
            return Ok(self.processor.decode(from, page));
        }
        let processor = self.processor.clone();
        let decoded = tokio::task::spawn_blocking(move || processor.decode(from, page));
        decoded.await.map_err(|e| StepError::Database(e.into()))
    }
}
