//! A read model beside the live one: built, compared at one and the same checkpoint, swapped in one transaction.
//!
//! What is to become of it stands in its own row, so that whoever finds it after a crash goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::{Checkpoint, Timestamp};

use crate::control::{AuditEntry, Control};
use crate::database::{AuditRows, Database, Transaction};
use crate::live::Live;
use crate::operation::OperateError;
use crate::projection::{BoxError, Projection};
use crate::slot::Slot;
use crate::standby::{Comparison, SideBySide, Standby, StandbyRole};
use crate::status::State;
use crate::verification::Estimate;
use crate::worker::error::{StepError, uncommitted};
use crate::worker::lease::LOOK_EVERY;
use crate::worker::runner::{Runner, Stepped};
use crate::worker::start::setup;
use crate::worker::step::Core;
use crate::worker::transact::OnlyControl;

/// How long the other read model may take to come to where this one stands.
const MEET_WITHIN: Duration = Duration::from_secs(30);

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Makes an empty read model in this slot, in place of what may be there. The caller holds the live one's row, so
    /// that nobody swaps meanwhile.
    pub(crate) async fn make_beside(
        &self,
        tx: &mut D::Tx,
        standby: Standby,
        until: Checkpoint,
    ) -> Result<(), StepError> {
        let control = Control::beside(self.projection.version(), until, standby);
        tx.discard(self.name()).await.map_err(setup::<D>)?;
        if !tx.insert(self.name(), &control).await.map_err(setup::<D>)? {
            return Err(StepError::Fenced);
        }
        self.create_tables(tx).await
    }

    async fn discard(&self) -> Result<(), BoxError> {
        let mut tx = self.database.begin().await?;
        tx.discard(self.name()).await?;
        tx.commit().await
    }

    /// Applies the first changesets of the log beside the live read model, takes that back, and says what all of them
    /// would take.
    pub(crate) async fn estimate(self: Arc<Self>) -> Result<Estimate, OperateError> {
        let head = self.log.head().await.map_err(StepError::Log)?.checkpoint;
        if !D::SIDE_BY_SIDE {
            return Ok(Estimate::of(head, None, None));
        }
        let sample = Arc::new(self.onto(Slot::Scratch));
        let began = Instant::now();
        let batch = sample.fetch(Checkpoint::START, self.batch(), Duration::ZERO).await?;
        let reading = began.elapsed();
        let mut tx = self.begin().await?;
        let bytes = tx.size_bytes(self.name()).await.map_err(StepError::Database)?;
        sample.make_beside(&mut tx, SideBySide::default().into(), head).await?;
        let began = Instant::now();
        if let Some(place) = batch.place(0) {
            let at = Control::new(self.projection.version()).position;
            let events: Vec<_> = batch.events(0..batch.changesets.len()).collect();
            sample.run_projection(&events, at, place, &mut tx).await?;
        }
        let seconds = (reading + began.elapsed()).as_secs_f64();
        // Dropped: nothing of it stays.
        drop(tx);
        Ok(Estimate::of(head, Some((batch.next.get(), seconds)), bytes))
    }

    /// Builds the read model once more and compares it with the live one; then throws it away. `live` shows how far
    /// it is.
    pub(crate) async fn verify_live(self: Arc<Self>, live: Arc<Live>) -> Result<Comparison, OperateError> {
        if !D::SIDE_BY_SIDE {
            return Err(OperateError::Invalid("this read-model database can't verify".to_owned()));
        }
        let head = self.log.head().await.map_err(StepError::Log)?;
        let scratch = Arc::new(self.onto(Slot::Scratch));
        let plan =
            Standby { role: StandbyRole::Building, swap: false, verify: true, force: false, note: None };
        let mut tx = self.begin().await?;
        whole(tx.lock(self.name()).await.map_err(StepError::Database)?)?;
        scratch.make_beside(&mut tx, plan, head.checkpoint).await?;
        tx.commit().await.map_err(uncommitted)?;
        let mut runner = Runner::new(scratch.clone(), live);
        let compared = runner.build_and_compare(head.checkpoint).await;
        if matches!(compared, Err(StepError::Absent | StepError::Fenced)) {
            // What is there now is another verification's.
            return Err(OperateError::Invalid(
                "it is verified by somebody else at the moment; try again".to_owned(),
            ));
        }
        scratch.discard().await.map_err(StepError::Database)?;
        Ok(compared?)
    }
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    async fn build_and_compare(&mut self, until: Checkpoint) -> Result<Comparison, StepError> {
        self.tenure.stays = false;
        loop {
            match self.step().await {
                Ok(Stepped::Moved | Stepped::Idle) => {}
                Ok(Stepped::Paused | Stepped::Elsewhere | Stepped::Split(_)) => {
                    return Err(StepError::Absent);
                }
                // These pass; the lease that was just taken moves the epoch as well.
                Err(error @ (StepError::Log(_) | StepError::Database(_) | StepError::Fenced)) => {
                    let pause = self.fail(error).await;
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
            if self.load().await?.position.next >= until {
                return self.compare_with_live().await;
            }
        }
    }

    /// Whether a read model beside the live one has caught up, and what was planned for then.
    fn is_due(&self) -> Option<Standby> {
        let control = self.control.as_ref()?;
        let plan = control.standby.clone().filter(|plan| plan.role == StandbyRole::Building && plan.swap)?;
        let caught_up = self.live.snapshot().state == State::Following && control.rebuild_until.is_none();
        caught_up.then_some(plan)
    }

    /// Does what was planned for when it has caught up, if it has.
    pub(crate) async fn complete_if_due(&mut self) -> Result<(), StepError> {
        if self.core.slot() != Slot::Standby {
            return Ok(());
        }
        // After an idle step it is to be read again; and it may have been caught up when this worker began.
        self.load().await?;
        let Some(plan) = self.is_due() else {
            // Whom a swap would wait for is asked anew when this one, or the next, is whole.
            self.older_readers = None;
            return Ok(());
        };
        if !plan.force && !self.parked.is_empty() {
            let parked = self.parked.len();
            return self
                .stay_beside(format!(
                    "{parked} streams are parked: retry or skip those of {}, or swap by force",
                    self.core.name()
                ))
                .await;
        }
        let live =
            self.core.begin().await?.load(self.core.projection.name()).await.map_err(StepError::Database)?;
        if live.is_some_and(|live| live.version > self.core.projection.version()) {
            return self.stay_beside("the one that is read is a newer version's by now".to_owned()).await;
        }
        if plan.verify {
            let comparison = self.compare_with_live().await?;
            if let Some(first) = comparison.differences.first() {
                let count = comparison.differences.len();
                let note = format!(
                    "{count} differences at checkpoint {}, the first: {first}",
                    comparison.checkpoint
                );
                return self.stay_beside(note).await;
            }
            tracing::info!(
                projection = self.core.name(),
                checkpoint = comparison.checkpoint,
                rows = comparison.rows,
                "equal to the live one"
            );
        }
        if !plan.force && self.is_seen_half_built().await? {
            return Ok(());
        }
        self.swap(self.audit_of("swap", "it has caught up")).await
    }

    pub(crate) fn audit_of(&self, action: &str, reason: &str) -> AuditEntry {
        let checkpoint = self.control.as_ref().map_or(Checkpoint::START, |control| control.position.next);
        AuditEntry {
            at: Timestamp::now(),
            action: action.to_owned(),
            reason: reason.to_owned(),
            checkpoint,
            detail: String::new(),
        }
    }

    /// It is not swapped by itself any more; the row says why.
    async fn stay_beside(&mut self, note: String) -> Result<(), StepError> {
        tracing::error!(projection = self.core.name(), note, "not swapped");
        let control = self.load().await?;
        let moved = control.moved(|control| {
            if let Some(standby) = &mut control.standby {
                standby.swap = false;
                standby.note = Some(note);
            }
        });
        self.control = None;
        self.core.transact(&control, moved.clone(), None, OnlyControl).await?;
        self.place(moved);
        Ok(())
    }

    /// Goes on to exactly this checkpoint, unless it is past it already.
    async fn step_to(&mut self, end: Checkpoint) -> Result<Control, StepError> {
        loop {
            let control = self.load().await?;
            if control.pause.is_some() {
                return Err(StepError::Setup("it is paused".to_owned()));
            }
            if control.position.next >= end {
                return Ok(control);
            }
            let changesets = self.core.settings.batch_changesets_max.max(1);
            let batch = self.core.fetch_until(control.position.next, end, changesets).await?;
            if self.take(batch).await? != Stepped::Moved {
                return Err(StepError::Setup(format!(
                    "the log ends before checkpoint {end}, which the live read model has reached: it was restored to an \
                     older state, or is another one"
                )));
            }
            if self.stop.is_cancelled() {
                return Err(StepError::Fenced);
            }
        }
    }

    /// Compares this read model with the live one, both at one and the same checkpoint. The live one stands still for
    /// the moment in which this one comes to where it is; the rows are compared in a snapshot, while both go on.
    pub(crate) async fn compare_with_live(&mut self) -> Result<Comparison, StepError> {
        let (live, own) = (Slot::Live.name_of(self.core.projection.name()), self.core.name().to_owned());
        let deadline = Instant::now() + MEET_WITHIN;
        loop {
            let here = self.load().await?.position.next;
            let mut held = self.core.begin().await?;
            let there = whole(held.lock(&live).await.map_err(StepError::Database)?)?;
            if there.position.next >= here {
                self.step_to(there.position.next).await?;
                let mut snapshot = self.core.begin().await?;
                snapshot.snapshot().await.map_err(StepError::Database)?;
                let place = |control: Option<Control>| control.map(|control| control.position.next);
                let live_at = place(snapshot.load(&live).await.map_err(StepError::Database)?);
                let own_at = place(snapshot.load(&own).await.map_err(StepError::Database)?);
                drop(held);
                if let Some(checkpoint) = live_at.filter(|at| Some(*at) == own_at) {
                    let compared = self.with_lease_kept(snapshot.compare(&live, &own)).await?;
                    return Ok(Comparison { checkpoint: checkpoint.get(), ..compared });
                }
            } else if let Some(pause) = there.pause {
                return Err(StepError::Setup(format!(
                    "the live read model is paused before checkpoint {here} ({}), so that the two can't be compared at one \
                     place: resume it first",
                    pause.reason
                )));
            } else {
                drop(held);
                self.wait_a_moment().await?;
            }
            if Instant::now() > deadline {
                return Err(StepError::Setup(format!(
                    "the live read model does not come to checkpoint {here}, so that the two can't be compared at one \
                     place: is its worker running? Without verification, they can be swapped all the same"
                )));
            }
        }
    }

    /// Unless the worker is told to stop, or it is another one's turn.
    async fn wait_a_moment(&mut self) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(StepError::Fenced),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        if self.has_lease().await? { Ok(()) } else { Err(StepError::Fenced) }
    }

    /// Waits for what takes long, so that no other worker takes over meanwhile and begins it as well.
    async fn with_lease_kept<T>(
        &mut self,
        what: impl Future<Output = Result<T, BoxError>> + Send,
    ) -> Result<T, StepError> {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return done.map_err(StepError::Database),
                () = self.stop.cancelled() => return Err(StepError::Fenced),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if !self.has_lease().await? {
                return Err(StepError::Fenced);
            }
        }
    }

    /// Takes the live one's place, which becomes the one beside it: in one transaction, and not before this one is as
    /// far.
    pub(crate) async fn swap(&mut self, audit: AuditEntry) -> Result<(), StepError> {
        let (live, own) = (Slot::Live.name_of(self.core.projection.name()), self.core.name().to_owned());
        // Most of the way before the live one is held.
        let there = self.core.begin().await?.load(&live).await.map_err(StepError::Database)?;
        // A live one past the end of a log that went back is what may have to be replaced.
        let end = self.core.log.head().await.map_err(StepError::Log)?.checkpoint;
        self.step_to(whole(there)?.position.next.min(end)).await?;
        let mut tx = self.core.begin().await?;
        let there = whole(tx.lock(&live).await.map_err(StepError::Database)?)?;
        let end = self.core.log.head().await.map_err(StepError::Log)?.checkpoint;
        let here = self.step_to(there.position.next.min(end)).await?;
        let epoch = there.position.epoch.max(here.position.epoch) + 1;
        let with_epoch = |control: &Control, standby: Option<Standby>| {
            let mut control = Control { standby, ..control.clone() };
            control.position.epoch = epoch;
            control
        };
        let following =
            Standby { role: StandbyRole::Following, swap: false, verify: false, force: false, note: None };
        let ours = tx.replace(&own, here.position, &with_epoch(&there, Some(following))).await;
        let theirs = tx.replace(&live, there.position, &with_epoch(&here, None)).await;
        if !(ours.map_err(StepError::Database)? && theirs.map_err(StepError::Database)?) {
            return Err(StepError::Fenced);
        }
        let back = here.standby.as_ref().is_some_and(|standby| standby.role == StandbyRole::Following);
        tx.exchange(&live, &own, back).await.map_err(StepError::Database)?;
        tx.audit(&live, &audit).await.map_err(StepError::Database)?;
        tx.commit().await.map_err(uncommitted)?;
        tracing::info!(
            projection = live,
            checkpoint = here.position.next.get(),
            from = there.version,
            to = here.version,
            "swapped with the one beside it"
        );
        self.control = None;
        Ok(())
    }
}

/// The live read model's row, which has to have one position.
fn whole(live: Option<Control>) -> Result<Control, StepError> {
    let refuse = |why: &str| Err(StepError::Setup(why.to_owned()));
    match live {
        None => refuse("there is no live read model"),
        Some(live) if live.split.is_some() => refuse(
            "its streams are dealt out to partitions: set their number to 1 first, which needs no rebuild",
        ),
        Some(live) => Ok(live),
    }
}
