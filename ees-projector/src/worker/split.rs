//! A projection whose streams are split over several workers: each partition has a row with a position of its own, a
//! lease of its own, and reads the whole log for its streams.
//!
//! Splitting anew: all partitions are fenced and told of one barrier, at which each stops; when all stand there, the rows
//! are exchanged for new ones in one transaction. Nothing is rebuilt.

use std::sync::Arc;
use std::time::Instant;

use ees_store::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{AuditEntry, Control, Position};
use crate::database::{AuditRows, Database, Transaction};
use crate::live::Live;
use crate::operation::{Action, OperateError};
use crate::partition::{Partition, SLOTS, Split};
use crate::projection::{Order, Projection};
use crate::status::{PartitionStatus, State};
use crate::worker::error::{StepError, uncommitted};
use crate::worker::runner::{Drained, Runner};
use crate::worker::step::Core;

/// The workers of a projection's partitions in this process.
#[derive(Default)]
pub(crate) struct Partitions {
    count: u32,
    tasks: TaskTracker,
    stop: CancellationToken,
    lives: Vec<Arc<Live>>,
}

impl Partitions {
    pub(crate) fn wake(&self) {
        self.lives.iter().for_each(|live| live.wake());
    }

    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        *self = Self::default();
    }
}

impl Control {
    /// A partition's row, where the projection stands.
    fn partition(&self, count: u32) -> Self {
        let epoch = u64::try_from(Timestamp::now().as_micros()).unwrap_or(0);
        let position = Position { epoch, ..self.position };
        Self { position, split: Some(Split::into(count)), ..self.clone() }
    }
}

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Makes the partitions' rows as the projection's own says: none, or so many where it stands.
    pub(crate) async fn deal_out(&self, tx: &mut D::Tx, control: &Control) -> Result<(), StepError> {
        tx.remove_partitions(self.name()).await.map_err(StepError::Database)?;
        let Some(split) = control.split else { return Ok(()) };
        for partition in Partition::all(split.count) {
            let row = control.partition(split.count);
            tx.add_partition(&partition.key(self.name()), &row).await.map_err(StepError::Database)?;
        }
        Ok(())
    }

    /// Splits into another number of partitions; when they are split already, once all have come to one place.
    async fn split(&self, count: u32, audit: AuditEntry) -> Result<(), StepError> {
        let mut tx = self.begin().await?;
        let control = tx.lock(self.name()).await.map_err(StepError::Database)?.ok_or(StepError::Fenced)?;
        let rows = tx.partitions(self.name(), true).await.map_err(StepError::Database)?;
        let ahead = rows.iter().map(|row| row.control.position.next).max();
        let to = match (control.split, ahead) {
            (Some(split), Some(barrier)) => {
                let split = Split { next_count: Some(count), barrier: Some(barrier), ..split };
                for row in &rows {
                    let moved = row.control.moved(|row| row.split = Some(split));
                    let replaced = tx.replace(&row.key, row.control.position, &moved).await;
                    if !replaced.map_err(StepError::Database)? {
                        return Err(StepError::Fenced);
                    }
                }
                control.moved(|control| control.split = Some(split))
            }
            _ => {
                let to = control.moved(|control| control.split = (count > 1).then(|| Split::into(count)));
                self.deal_out(&mut tx, &to).await?;
                to
            }
        };
        if !tx.replace(self.name(), control.position, &to).await.map_err(StepError::Database)? {
            return Err(StepError::Fenced);
        }
        tx.audit(self.name(), &audit).await.map_err(StepError::Database)?;
        tx.commit().await.map_err(uncommitted)
    }

    /// Splits anew, when all partitions have come to the barrier.
    async fn join(&self) -> Result<(), StepError> {
        let mut tx = self.begin().await?;
        let control = tx.lock(self.name()).await.map_err(StepError::Database)?.ok_or(StepError::Fenced)?;
        let Some(Split { barrier: Some(barrier), next_count, .. }) = control.split else { return Ok(()) };
        let rows = tx.partitions(self.name(), true).await.map_err(StepError::Database)?;
        if rows.is_empty() || rows.iter().any(|row| row.control.position.next != barrier) {
            return Ok(());
        }
        let to = control.moved(|control| {
            control.position.next = barrier;
            control.log_id = rows[0].control.log_id;
            control.last = rows[0].control.last.clone();
            control.rebuild_until = control.rebuild_until.filter(|until| *until > barrier);
            control.split = next_count.filter(|count| *count > 1).map(Split::into);
        });
        self.deal_out(&mut tx, &to).await?;
        if !tx.replace(self.name(), control.position, &to).await.map_err(StepError::Database)? {
            return Err(StepError::Fenced);
        }
        tx.commit().await.map_err(uncommitted)?;
        tracing::info!(
            projection = self.name(),
            checkpoint = barrier.get(),
            partitions = next_count,
            "the streams are dealt out anew"
        );
        Ok(())
    }
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    pub(crate) async fn set_partitions(&mut self, count: u32, audit: AuditEntry) -> Result<(), OperateError> {
        let refuse = |why: String| Err(OperateError::Invalid(why));
        if !D::PARTITIONS {
            return refuse("this read-model database is one process's alone: nothing to share".to_owned());
        }
        if self.core.projection.order() != Order::Stream {
            return refuse(
                "it needs the global order (Order::Log): its streams can't be dealt out".to_owned(),
            );
        }
        if !(1..=SLOTS).contains(&count) {
            return refuse(format!("there can be 1 to {SLOTS} partitions"));
        }
        self.core.split(count, audit).await?;
        self.control = None;
        Ok(())
    }

    /// There are none any more.
    pub(crate) async fn forget_partitions(&mut self) {
        if self.partitions.count > 0 {
            self.partitions.stop().await;
            self.live.update(|live| live.partitions.clear());
        }
    }

    // Not in the async function that calls it: a worker's future would hold its own kind.
    fn start_partitions(&mut self, count: u32) {
        self.partitions.stop = self.stop.child_token();
        self.partitions.count = count;
        for partition in Partition::all(count) {
            let core = Arc::new(self.core.onto_partition(partition));
            let live = Arc::new(Live::new());
            self.partitions.lives.push(live.clone());
            let runner = Runner::new(core, live);
            let (_, operations) = mpsc::channel(1);
            self.partitions.tasks.spawn(runner.run(operations, self.partitions.stop.clone()));
        }
    }

    /// Keeps a worker for each partition, shows how they stand, and deals out anew when that is due.
    pub(crate) async fn tend_partitions(&mut self, control: Control, split: Split) -> Result<(), StepError> {
        // A host that does not stay goes through them itself.
        if self.tenure.stays && self.partitions.count != split.count {
            self.partitions.stop().await;
            self.start_partitions(split.count);
        }
        let mut tx = self.core.begin().await?;
        let rows = tx.partitions(self.core.name(), false).await.map_err(StepError::Database)?;
        drop(tx);
        if let Some(barrier) = split.barrier
            && rows.iter().all(|row| row.control.position.next == barrier)
        {
            self.core.join().await?;
            // Read anew what came of it.
            return Err(StepError::Fenced);
        }
        let mut shown = control;
        if let Some(last) = rows.iter().map(|row| &row.control).min_by_key(|row| row.position.next) {
            shown.position.next = last.position.next;
            shown.rebuild_until = last.rebuild_until;
        }
        shown.pause = rows.iter().find_map(|row| row.control.pause.clone());
        let paused = shown.pause.is_some();
        self.place(shown);
        let head = self.core.log.head().await.map_err(StepError::Log)?;
        for row in &rows {
            if !self.verified.covers(&row.control, &head) {
                self.core.verify(&row.control, &head).await?;
            }
        }
        self.verified.note(&head);
        let behind = self.live.snapshot().checkpoint() < head.checkpoint;
        self.went_well(match (paused, behind) {
            (true, _) => State::Paused,
            (false, true) => State::CatchingUp,
            (false, false) => State::Following,
        });
        let failing =
            self.partitions.lives.iter().map(|live| live.snapshot()).find(|live| live.failure.is_some());
        if let Some(failing) = failing.filter(|_| !paused) {
            self.live.update(|live| {
                live.state = failing.state;
                live.failure = failing.failure;
            });
        }
        let partitions = rows.iter().enumerate().map(|(index, row)| PartitionStatus {
            partition: u32::try_from(index).unwrap_or(u32::MAX),
            checkpoint: row.control.position.next,
            owner: row.owner.clone(),
            pause: row.control.pause.clone(),
        });
        let partitions = partitions.collect();
        self.live.update(|live| {
            live.head = head.checkpoint;
            live.partitions = partitions;
        });
        self.control = None;
        Ok(())
    }

    /// For hosts that do not stay: one partition after the other.
    pub(crate) async fn drain_partitions(&self, split: Split, deadline: Instant) -> Drained {
        let mut drained = Drained::CaughtUp;
        for partition in Partition::all(split.count) {
            let core = Arc::new(self.core.onto_partition(partition));
            let mut runner = Runner::new(core, Arc::new(Live::new()));
            match Box::pin(runner.drain_until(deadline)).await {
                Drained::CaughtUp => {}
                other => drained = other,
            }
        }
        drained
    }

    /// Lets the partition that an operation concerns carry it out.
    pub(crate) async fn operate_partitions(
        &mut self,
        split: Split,
        action: &Action,
        reason: &str,
    ) -> Result<(), OperateError> {
        let stream = match action {
            Action::Retry(stream) => stream.clone(),
            Action::Skip(checkpoint) | Action::DiscardEffects(checkpoint) => {
                let query = ees_store::LogQuery::from(*checkpoint, 1);
                let page = self.core.log.read(query).await.map_err(StepError::Log)?;
                let found = page.changesets.first().filter(|found| found.checkpoint == *checkpoint);
                let gone =
                    || OperateError::Invalid(format!("there is no changeset at checkpoint {checkpoint}"));
                Some(found.ok_or_else(gone)?.stream_id.clone())
            }
            _ => {
                return Err(OperateError::Invalid(
                    "its streams are dealt out to partitions: set their number to 1 first, which needs no rebuild"
                        .to_owned(),
                ));
            }
        };
        let concerned = |partition: &Partition| stream.as_ref().is_none_or(|stream| partition.owns(stream));
        let (mut done, mut refused) = (false, None);
        for partition in Partition::all(split.count).filter(concerned) {
            let core = Arc::new(self.core.onto_partition(partition));
            let mut runner = Runner::new(core, Arc::new(Live::new()));
            match Box::pin(runner.carry_out(action, reason.to_owned())).await {
                Ok(()) => done = true,
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if !done => Err(error),
            _ => Ok(()),
        }
    }
}
