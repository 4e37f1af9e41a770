//! What a worker does for a reactor: let it act with no transaction open, then move the position past what was done.
//!
//! A crash between the two repeats the batch: at least once. The other way round would be at most once.

use std::sync::Arc;

use crate::control::Control;
use crate::database::Database;
use crate::operation::{Action, OperateError};
use crate::projection::Projection;
use crate::reactor::{Interrupted, Reacted, Start};
use crate::worker::batch::Batch;
use crate::worker::lease::LOOK_EVERY;
use crate::worker::runner::Runner;
use crate::worker::step::{Core, StepError, chain};
use crate::worker::transact::OnlyControl;

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Whether it acts outside of the read models, and must never do so twice because somebody wants a table anew.
    pub(crate) fn is_reactor(&self) -> bool {
        self.projection.effects().is_some()
    }

    /// The row of what was never started here.
    pub(crate) async fn beginning(&self) -> Result<Control, StepError> {
        let control = Control::new(self.projection.version());
        let Some(effects) = self.projection.effects() else { return Ok(control) };
        let head = self.log.head().await.map_err(StepError::Log)?;
        let from = match effects.start() {
            Start::Now => head.checkpoint,
            Start::Beginning => control.position.next,
            Start::At(checkpoint) if checkpoint > head.checkpoint => {
                return Err(StepError::Setup(format!(
                    "it can't start at checkpoint {checkpoint}: the log ends before {}",
                    head.checkpoint
                )));
            }
            Start::At(checkpoint) => checkpoint,
        };
        tracing::info!(reactor = self.name(), checkpoint = from.get(), "a new reactor begins");
        Ok(control.advanced(from, head.log_id, None))
    }

    /// Lets the reactor act upon the first changesets of a batch. Safe to drop: it is done again then.
    async fn act(self: &Arc<Self>, control: &Control, batch: &Batch<P::Event>, end: usize) -> Acted {
        let events: Vec<_> = batch.events(0..end).collect();
        let Some(effects) = self.projection.effects().filter(|_| !events.is_empty()) else {
            return Acted { changesets: end, error: None };
        };
        let mut reacting = effects.react(&events);
        let reacted: Reacted = loop {
            tokio::select! {
                biased;
                reacted = &mut reacting => break reacted,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            // Where there is a lease, it is kept; and whoever lost it stops, because another one begins.
            let kept = self.transact(control, control.clone(), None, OnlyControl).await;
            if matches!(kept, Err(StepError::Fenced)) {
                return Acted { changesets: 0, error: Some(StepError::Fenced) };
            }
        };
        let Err(Interrupted { done, error }) = reacted else { return Acted { changesets: end, error: None } };
        let Some(failed) = events.get(done.min(events.len() - 1)) else {
            return Acted { changesets: end, error: None };
        };
        let changesets = batch.changesets.partition_point(|it| it.checkpoint < failed.checkpoint());
        let error = match batch.place(changesets) {
            Some(place) if !effects.is_transient(&*error) => {
                StepError::Failed { at: control.position, place, error: chain(&*error) }
            }
            _ => StepError::Outside(error),
        };
        Acted { changesets, error: Some(error) }
    }
}

/// How far a reactor came in a batch.
struct Acted {
    /// So many are done with.
    changesets: usize,
    /// Why not more.
    error: Option<StepError>,
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Lets the reactor act upon a batch, and moves the position past what it did.
    pub(crate) async fn react(&mut self, control: Control, batch: Batch<P::Event>) -> Result<(), StepError> {
        let unreadable = batch.unreadable.iter().next();
        let end = unreadable.map_or(batch.changesets.len(), |(changeset, _)| *changeset);
        let Acted { changesets: done, error } = self.core.act(&control, &batch, end).await;
        let next = batch.position_before(done);
        let mut at = control.position;
        if next > at.next {
            let to = control.advanced(next, batch.head.log_id, batch.passed_before(done));
            self.core.transact(&control, to.clone(), None, OnlyControl).await?;
            at = to.position;
            self.place(to);
        }
        match (error, unreadable, batch.place(end)) {
            (Some(StepError::Failed { place, error, .. }), ..) => Err(StepError::Failed { at, place, error }),
            (Some(error), ..) => Err(error),
            (None, Some((_, error)), Some(place)) => {
                Err(StepError::Failed { at, place, error: error.to_string() })
            }
            (None, ..) => Ok(()),
        }
    }

    /// What was done outside can't be taken back, and is not done again because somebody wants a table anew.
    pub(crate) fn may_operate(&self, action: &Action) -> Result<(), OperateError> {
        if self.core.is_reactor() && matches!(action, Action::Rebuild | Action::BuildBeside(_)) {
            return Err(not_rebuilt(self.core.name()));
        }
        Ok(())
    }
}

pub(crate) fn not_rebuilt(name: &str) -> OperateError {
    OperateError::Invalid(format!(
        "\"{name}\" is a reactor and has no read model: a rebuild would do again all that it ever did. Moving its \
         checkpoint back repeats what lies after it"
    ))
}
