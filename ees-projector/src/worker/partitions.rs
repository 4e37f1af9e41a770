//! A projection that is split into partitions. Each partition has a row with a position of its own and a
//! lease of its own, and reads the whole log for its streams.
//!
//! To change the number of partitions, all of them are fenced and get a common barrier, at which each stops.
//! When all are there, one transaction replaces their rows. Nothing is rebuilt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::Timestamp;
use tokio::sync::mpsc;

use crate::database::{AuditRows, Database, PartitionRow, Transaction};
use crate::fingerprint::Fingerprint;
use crate::partition::{Partition, Split};
use crate::projection_state::{AuditEntry, Position, ProjectionState};
use crate::segment_progress::SegmentProgress;
use crate::status::{PartitionStatus, State};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::event_tally::EventTally;
use crate::worker::fingerprint::sum;
use crate::worker::outcome::Drained;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;

/// How often the partitions are looked at when their number changes, or the standby is about to be swapped.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How the rows change when the streams are dealt out to another number of partitions.
pub(crate) enum DealtOut {
    /// The projection's row. There are no partitions yet, and those that it asks for are made at once.
    AtOnce(ProjectionState),
    /// The projection's row, and those of its partitions: they stop at a common barrier, and are replaced there.
    AtBarrier(ProjectionState, Vec<ProjectionState>),
}

impl ProjectionState {
    /// Deals the streams out to another number of partitions. `rows` are those of the partitions that there are. `audited`:
    /// an operator asked for it.
    pub(crate) fn dealt_out(&self, rows: &[&Self], count: u32, audited: bool) -> DealtOut {
        let barrier = rows.iter().map(|row| row.position.next).max();
        let (Some(split), Some(barrier)) = (self.split, barrier) else {
            return DealtOut::AtOnce(
                self.moved(|state| state.split = (count > 1).then(|| Split::into(count))),
            );
        };
        let split = Split { next_count: Some(count), barrier: Some(barrier), ..split };
        let rebuild_until = rows.iter().find_map(|row| row.rebuild_until);
        let whole = self.moved(|state| {
            state.split = Some(split);
            if audited {
                // An operator's change is no part of a rebuild that has ended in each partition.
                state.rebuild_until = rebuild_until;
            }
        });
        DealtOut::AtBarrier(whole, rows.iter().map(|row| row.moved(|row| row.split = Some(split))).collect())
    }

    /// Returns the row once its partitions are replaced by the new ones, if all of them are at the barrier.
    pub(crate) fn joined(&self, rows: &[&Self]) -> Option<Self> {
        let Split { barrier, next_count, .. } = self.split?;
        let (barrier, first) = (barrier?, rows.first()?);
        if rows.iter().any(|row| row.position.next != barrier) {
            return None;
        }
        Some(self.moved(|state| {
            state.position.next = barrier;
            state.log_id = first.log_id;
            state.last = first.last.clone();
            state.rebuild_until = state.rebuild_until.filter(|until| *until > barrier);
            state.add_skips(rows.iter().flat_map(|row| &row.skips).copied());
            state.split = next_count.filter(|count| *count > 1).map(Split::into);
            state.segment = None;
            state.fingerprint = sum(rows.iter().copied());
        }))
    }

    /// Returns the row of a partition at the position of the projection, with an epoch that was never used under its name.
    /// The first one gets the fingerprint: only the sum of all counts. If the log is read by segments, each gets one, and
    /// waits at the end of it.
    pub(crate) fn partition(&self, split: Split, number: u32, epoch: u64) -> Self {
        let position = Position { epoch, ..self.position };
        let fingerprint = self.fingerprint.map(|all| if number == 0 { all } else { Fingerprint::default() });
        let segment = self.segment.as_ref().map(|segment| segment.of(number));
        let split = Some(if segment.is_some() { split } else { Split::into(split.count) });
        Self { position, split, standby: None, fingerprint, segment, ..self.clone() }
    }

    /// Returns the row with the rebuild that is in progress in any of its partitions, if it is split. One for whose time the
    /// streams are dealt out ends when they are joined.
    pub(crate) fn with_rebuild_of(self, partitions: &[&Self]) -> Self {
        let Some(split) = self.split else { return self };
        let of_whole = split.next_count.and(self.rebuild_until);
        Self { rebuild_until: partitions.iter().find_map(|row| row.rebuild_until).or(of_whole), ..self }
    }

    /// Returns the row of a projection in partitions as it is shown: where the last one is, with what was skipped in all
    /// of them.
    pub(crate) fn with_partitions(self, split: Split, rows: &[PartitionRow]) -> Self {
        let mut shown = self;
        if let Some(last) = rows.iter().map(|row| &row.state).min_by_key(|row| row.position.next) {
            shown.position.next = last.position.next;
            shown.segment = passed_of_all(&shown, rows);
            // A rebuild by several workers ends when these are joined.
            shown.rebuild_until =
                last.rebuild_until.or(shown.rebuild_until.filter(|_| split.next_count.is_some()));
        }
        shown.add_skips(rows.iter().flat_map(|row| &row.state.skips).copied());
        shown.pause = rows.iter().find_map(|row| row.state.pause.clone());
        // While the partitions are at different checkpoints, the sum is that of no checkpoint.
        let is_at_one = rows.iter().all(|row| row.state.position.next == shown.position.next);
        shown.fingerprint = sum(rows.iter().map(|row| &row.state)).filter(|_| is_at_one);
        shown
    }
}

/// Returns the status of each partition.
pub(super) fn statuses(rows: &[PartitionRow]) -> Vec<PartitionStatus> {
    let status = |(index, row): (usize, &PartitionRow)| PartitionStatus {
        partition: u32::try_from(index).unwrap_or(u32::MAX),
        checkpoint: row.state.position.next,
        owner: row.owner.clone(),
        pause: row.state.pause.clone(),
    };
    rows.iter().enumerate().map(status).collect()
}

impl PartitionRow {
    /// Returns `true` if the partition stands still for a comparison or a swap.
    fn stands_still(&self) -> bool {
        self.state.split.is_some_and(|split| split.next_count.is_none() && split.barrier.is_some())
    }
}

/// Returns the sum of what the partitions have passed of their segments, while the last of them reads. Of those that
/// have read theirs, it is taken to be a fair share.
fn passed_of_all(whole: &ProjectionState, rows: &[PartitionRow]) -> Option<SegmentProgress> {
    let all = whole.segment.clone()?;
    let share = all.until.get() / u64::from(all.segment.count);
    let passed = rows.iter().map(|row| row.state.segment.as_ref().map_or(share, |segment| segment.passed));
    Some(SegmentProgress { passed: passed.sum(), ..all })
}

impl<D: Database> Core<D> {
    /// Inserts the partitions' rows that the projection's row asks for, at its position.
    pub(crate) async fn create_partitions(
        &self,
        tx: &mut D::Tx,
        state: &ProjectionState,
    ) -> Result<(), StepError> {
        tx.remove_partitions(self.id()).await?;
        let Some(split) = state.split else { return Ok(()) };
        let epoch = u64::try_from(Timestamp::now().as_micros()).unwrap_or(0);
        for partition in Partition::all(split.count) {
            let row = state.partition(split, partition.index, epoch);
            tx.add_partition(&self.id().of_partition(partition), &row).await?;
        }
        Ok(())
    }

    /// Adds to the projection's row what was skipped in its partitions since it was split.
    pub(crate) async fn know_skips(
        &self,
        tx: &mut D::Tx,
        state: &mut ProjectionState,
    ) -> Result<(), StepError> {
        if self.is_left_to_partitions(state) {
            let rows = tx.partitions(self.id(), true).await?;
            state.add_skips(rows.iter().flat_map(|row| &row.state.skips).copied());
        }
        Ok(())
    }

    /// Changes the number of partitions from what it was when it was `seen`. If there are partitions already, this
    /// happens once all of them are at the barrier.
    pub(super) async fn split(
        &self,
        seen: Option<Split>,
        count: u32,
        audit: Option<AuditEntry>,
    ) -> Result<(), StepError> {
        let mut tx = self.begin().await?;
        let state = tx.lock(self.id()).await?;
        // Those that read segments have no checkpoint in common before they are at the end of these.
        let state = state.filter(|state| state.split == seen && state.segment.is_none());
        let state = state.ok_or(StepError::Fenced)?;
        let rows = tx.partitions(self.id(), true).await?;
        let states: Vec<_> = rows.iter().map(|row| &row.state).collect();
        let to = match state.dealt_out(&states, count, audit.is_some()) {
            DealtOut::AtBarrier(to, moved) => {
                for (row, moved) in rows.iter().zip(&moved) {
                    if !tx.replace(&row.id, row.state.position, moved).await? {
                        return Err(StepError::Fenced);
                    }
                }
                to
            }
            DealtOut::AtOnce(to) => {
                self.create_partitions(&mut tx, &to).await?;
                to
            }
        };
        if !tx.replace(self.id(), state.position, &to).await? {
            return Err(StepError::Fenced);
        }
        if let Some(audit) = audit {
            tx.audit(self.id(), &audit).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Lets every partition stand still where it is, for the worker that has the lease of the whole. Other changes of the
    /// partitions go before.
    pub(super) async fn stand_still(&self) -> Result<(), StepError> {
        self.halt(true).await
    }

    /// Lets the partitions go on.
    pub(super) async fn go_on(&self) -> Result<(), StepError> {
        self.halt(false).await
    }

    async fn halt(&self, still: bool) -> Result<(), StepError> {
        if !D::PARTITIONS {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let state = tx.lock(self.id()).await?.ok_or(StepError::Fenced)?;
        let Some(split) = state.split else { return Ok(()) };
        if split.next_count.is_some() {
            return Err(StepError::Fenced);
        }
        for row in tx.partitions(self.id(), true).await? {
            if row.stands_still() == still {
                continue;
            }
            let barrier = Some(row.state.position.next).filter(|_| still);
            let moved = row.state.moved(|row| row.split = Some(Split { barrier, ..split }));
            if !tx.replace(&row.id, row.state.position, &moved).await? {
                return Err(StepError::Fenced);
            }
        }
        Ok(tx.commit().await?)
    }

    /// Replaces the partitions by the new ones, if all of them are at the barrier.
    async fn join(&self) -> Result<(), StepError> {
        let mut tx = self.begin().await?;
        let state = tx.lock(self.id()).await?.ok_or(StepError::Fenced)?;
        let rows = tx.partitions(self.id(), true).await?;
        let rows: Vec<_> = rows.iter().map(|row| &row.state).collect();
        let Some(to) = state.joined(&rows) else { return Ok(()) };
        self.create_partitions(&mut tx, &to).await?;
        if !tx.replace(self.id(), state.position, &to).await? {
            return Err(StepError::Fenced);
        }
        tx.commit().await?;
        tracing::info!(
            projection = self.name(),
            checkpoint = to.position.next.get(),
            partitions = to.partitions(),
            "the streams are split into partitions"
        );
        Ok(())
    }
}

impl<D: Database> Runner<D> {
    /// Stops the workers of the partitions, if the projection is no longer split. The status shows none from then on, also
    /// if nobody waits for their end.
    pub(crate) async fn forget_partitions(&mut self) {
        if self.partitions.count > 0 {
            self.status.update(|status| status.partitions.clear());
            self.partitions.stop().await;
        }
    }

    // Not inside the async function that calls it: a worker's future would contain its own type.
    fn start_partitions(&mut self, count: u32) {
        self.partitions.stop = self.stop.child_token();
        self.partitions.count = count;
        for partition in Partition::all(count) {
            let core = Arc::new(self.core.onto_partition(partition));
            let status = Arc::new(WorkerStatus::of_partition(&self.status));
            self.partitions.statuses.push(status.clone());
            let runner = Runner::new(core, status);
            let (_, operations) = mpsc::channel(1);
            self.partitions.tasks.spawn(runner.run(operations, self.partitions.stop.clone()));
        }
    }

    /// Returns the delay before the next look at the partitions: a short one when something is about to happen with
    /// all of them.
    pub(super) fn until_next_look_at(&self, split: Split) -> Duration {
        let row = self.status.snapshot().row;
        let is_to_be_swapped = row.and_then(|row| row.standby).is_some_and(|plan| plan.swap);
        if split.next_count.is_some() || is_to_be_swapped { LOOK_EVERY } else { self.until_next_look() }
    }

    /// Keeps a worker running for each partition, shows their status, and replaces the partitions when that
    /// is due.
    pub(crate) async fn tend_partitions(
        &mut self,
        state: ProjectionState,
        split: Split,
    ) -> Result<(), StepError> {
        // A host that does not stay runs the partitions one after the other instead.
        if self.lease.stays && self.partitions.count != split.count {
            self.partitions.stop().await;
            self.start_partitions(split.count);
        }
        let mut tx = self.core.begin().await?;
        let rows = tx.partitions(self.core.id(), false).await?;
        drop(tx);
        match split {
            Split { barrier: Some(barrier), .. }
                if rows.iter().all(|row| row.state.position.next == barrier) =>
            {
                self.core.join().await?;
                // The partitions were replaced: read the row again.
                return Err(StepError::Fenced);
            }
            Split { next_count: Some(count), barrier: None, .. }
                if rows.iter().all(|row| row.state.rebuild_until.is_none()) =>
            {
                self.core.split(Some(split), count, None).await?;
                self.partitions.wake();
                return Err(StepError::Fenced);
            }
            Split { barrier: None, .. } if rows.iter().any(PartitionRow::stands_still) => {
                // Who has the lease is not comparing or swapping at the moment, and nobody else may.
                if self.has_lease().await? {
                    self.core.go_on().await?;
                }
            }
            Split { .. } => {}
        }
        let shown = state.with_partitions(split, &rows);
        let paused = shown.pause.is_some();
        self.status.set_state(&shown);
        self.show_parked();
        let head = self.core.log.head().await?;
        for row in &rows {
            if !self.verified.covers(&row.state, &head) {
                self.core.verify(&row.state, &head).await?;
            }
        }
        self.verified.note(&head);
        let behind = self.status.snapshot().checkpoint() < head.checkpoint;
        self.record_success(match (paused, behind) {
            (true, _) => State::Paused,
            (false, true) => State::CatchingUp,
            (false, false) => State::Following,
        });
        let failing = self
            .partitions
            .statuses
            .iter()
            .map(|status| status.snapshot())
            .find(|status| status.failure.is_some());
        if let Some(failing) = failing.filter(|_| !paused) {
            self.status.update(|status| {
                status.state = failing.state;
                status.failure = failing.failure;
            });
        }
        let mut events = EventTally::default();
        for status in &self.partitions.statuses {
            events.add(&status.snapshot().events);
        }
        let partitions = statuses(&rows);
        self.status.update(|status| {
            status.head = head.checkpoint;
            status.partitions = partitions;
            status.events = events;
        });
        Ok(())
    }

    /// Runs the partitions one after the other, for hosts that do not stay.
    pub(crate) async fn drain_partitions(&self, split: Split, deadline: Instant) -> Drained {
        let mut drained = Drained::CaughtUp;
        for partition in Partition::all(split.count) {
            let core = Arc::new(self.core.onto_partition(partition));
            let mut runner = Runner::new(core, Arc::new(WorkerStatus::of_partition(&self.status)));
            match Box::pin(runner.drain_until(deadline)).await {
                Drained::CaughtUp => {}
                other => drained = other,
            }
        }
        drained
    }
}

#[cfg(test)]
mod tests {
    use ees_store::Checkpoint;

    use super::*;
    use crate::worker::idle;

    #[tokio::test]
    async fn a_projection_that_is_no_longer_split_shows_no_partitions_even_if_nobody_waited_for_the_end_of_their_workers()
     {
        let core = Arc::new(idle::core(Arc::new(ees_store::memory::Store::new())));
        let mut runner = Runner::new(core, Arc::new(WorkerStatus::new()));
        runner.partitions.count = 1;
        runner.partitions.tasks.spawn(std::future::pending::<()>());
        let partition =
            PartitionStatus { partition: 0, checkpoint: Checkpoint::START, owner: None, pause: None };
        runner.status.update(|status| status.partitions.push(partition));
        let forgotten = tokio::time::timeout(Duration::from_millis(1), runner.forget_partitions()).await;
        assert!(forgotten.is_err());
        runner.forget_partitions().await;
        assert_eq!(runner.status.snapshot().partitions, []);
    }
}
