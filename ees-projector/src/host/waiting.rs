//! Waiting for a projection to reach a changeset: to read your own writes, and to acknowledge messages.

use std::time::Duration;

#[cfg(feature = "http")]
use ees_store::Committed;
use ees_store::{ChangesetId, ChangesetLog as _, Checkpoint, StreamId};
use tokio::time::Instant;

use crate::host::handle::Handle;
use crate::host::poll_backoff;
use crate::worker::operations::operation::OperateError;

/// The first delay of a caller that waits for a single checkpoint.
const DELAY_MIN: Duration = Duration::from_millis(5);
/// The longest wait for a projection that other hosts run: a function pays for it, and has to answer.
const HELD_MAX: Duration = Duration::from_secs(20);

impl Handle {
    /// Waits until the changeset at this checkpoint is applied, parked or skipped. Use it to read your own
    /// writes.
    ///
    /// # Errors
    /// [`OperateError::Unknown`]; [`OperateError::TimedOut`] after `timeout`; [`OperateError::Failed`] if the
    /// projection is stopped.
    pub async fn when_reached(
        &self,
        name: &str,
        checkpoint: Checkpoint,
        timeout: Duration,
    ) -> Result<(), OperateError> {
        let named = self.named(name)?;
        let status = named.status;
        let mut position = status.position();
        let deadline = Instant::now() + self.held(timeout);
        let late = |wanted| OperateError::TimedOut { checkpoint: *status.position().borrow(), wanted };
        let head = tokio::time::timeout_at(deadline, self.log.head()).await.map_err(|_| late(checkpoint))?;
        let head = head.map_err(|e| OperateError::Unavailable(e.to_string()))?.checkpoint;
        // No changeset is at the end of the log. So this checkpoint means all changesets before it.
        let wanted = if checkpoint < head { checkpoint.next() } else { checkpoint };
        let reached = async {
            tokio::select! {
                reached = position.wait_for(|position| *position >= wanted) => reached.map(drop),
                never = self.keep_looking(&named) => match never {},
            }
        };
        let waited = match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(OperateError::Unavailable("the projector is shutting down".to_owned())),
            Err(_) => Err(late(wanted)),
        };
        // The checkpoint of a stopped projection belongs to another log.
        if let Some(why) = status.snapshot().stopped() {
            return Err(OperateError::Failed(why));
        }
        waited
    }

    /// Waits until a changeset of a stream is applied, parked or skipped. Waits first until it is in the log:
    /// a store in DynamoDB assigns checkpoints a moment after the commit, and a replica learns of them later.
    ///
    /// # Errors
    /// [`OperateError::Unknown`]; [`OperateError::NotInLog`] if the log does not have the changeset after
    /// `timeout`; [`OperateError::TimedOut`] if it has, and it is not applied.
    pub async fn when_applied(
        &self,
        name: &str,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        timeout: Duration,
    ) -> Result<(), OperateError> {
        self.named(name)?;
        let deadline = Instant::now() + self.held(timeout);
        let checkpoint = self.when_in_log(stream_id, changeset_id, deadline).await?;
        self.when_reached(name, checkpoint, deadline - Instant::now()).await
    }

    /// Returns how long a caller may wait who would wait so long.
    fn held(&self, timeout: Duration) -> Duration {
        if self.is_attending { timeout.min(HELD_MAX) } else { timeout }
    }

    /// Waits until the projection has reached a commit. Returns `false` if it has parked or skipped it, so that
    /// the read model does not show it.
    #[cfg(feature = "http")]
    pub(crate) async fn when_shown(
        &self,
        name: &str,
        stream_id: &StreamId,
        committed: &Committed,
        timeout: Duration,
    ) -> Result<bool, OperateError> {
        let status = self.named(name)?.status;
        let (deadline, changeset_id) = (Instant::now() + timeout, committed.changeset_id);
        let checkpoint = match committed.checkpoint {
            Some(checkpoint) => checkpoint,
            None => self.when_in_log(stream_id, changeset_id, deadline).await?,
        };
        self.when_reached(name, checkpoint, deadline - Instant::now()).await?;
        // The read model's database records what is parked together with the checkpoint.
        let parked = tokio::time::timeout_at(deadline, self.parked(name)).await;
        let parked = parked.map_err(|_| {
            OperateError::Unavailable("the read model did not say in time what is parked".to_owned())
        })??;
        let is_parked =
            parked.iter().any(|parked| parked.stream_id == *stream_id && parked.first <= changeset_id);
        // Afterwards: a parked changeset may be skipped meanwhile.
        Ok(!is_parked && !status.snapshot().skipped().contains(&checkpoint.get()))
    }

    async fn when_in_log(
        &self,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        deadline: Instant,
    ) -> Result<Checkpoint, OperateError> {
        let in_log = async {
            let mut pauses = poll_backoff::pauses(DELAY_MIN);
            loop {
                if let Some(checkpoint) = self.checkpoint_of(stream_id, changeset_id).await? {
                    return Ok(checkpoint);
                }
                tokio::time::sleep(pauses.next().unwrap_or(poll_backoff::AFTER_MAX)).await;
            }
        };
        tokio::time::timeout_at(deadline, in_log)
            .await
            .map_err(|_| OperateError::NotInLog { stream_id: stream_id.clone(), changeset_id })?
    }

    pub(crate) async fn checkpoint_of(
        &self,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
    ) -> Result<Option<Checkpoint>, OperateError> {
        let located = self.log.locate(stream_id, changeset_id).await;
        located.map_err(|e| OperateError::Unavailable(e.to_string()))
    }

    /// Returns `true` if all projections have passed this checkpoint, as far as this process knows.
    #[cfg(feature = "sqs")]
    pub(crate) fn all_are_past(&self, checkpoint: Checkpoint) -> bool {
        self.projections.values().all(|projection| {
            // The checkpoint of a stopped projection belongs to another log.
            *projection.status.position().borrow() > checkpoint
                && projection.status.snapshot().stopped().is_none()
        })
    }

    /// Waits until all projections have passed this checkpoint. Never returns if one of them is stopped.
    #[cfg(feature = "sqs")]
    pub(crate) async fn when_all_are_past(&self, checkpoint: Checkpoint) {
        for projection in self.projections.values() {
            let reached =
                projection.status.position().wait_for(|position| *position > checkpoint).await.is_ok();
            if !reached || projection.status.snapshot().stopped().is_some() {
                return std::future::pending().await;
            }
        }
    }
}
