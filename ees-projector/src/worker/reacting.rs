//! What a worker does for a reactor: let it act with no transaction open, then move the position past what was done, and
//! put aside the streams that failed.
//!
//! A crash between the two repeats the batch, apart from what the ledger has as done: at least once. The other way round
//! would be at most once.

use std::sync::Arc;

use ees_store::Timestamp;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::control::{Applied, Control, ParkedStream};
use crate::database::{Database, Transaction};
use crate::operation::{Action, OperateError};
use crate::policy::OnFailure;
use crate::projection::{BoxError, Projection};
use crate::reactor::{EffectState, Effects, NEVER, Postponed, Refused, Start};
use crate::worker::acting::Acted;
use crate::worker::batch::Batch;
use crate::worker::error::{StepError, cause_of, chain, is_caused_by};
use crate::worker::ledger::{Records, WorkEnd};
use crate::worker::runner::Runner;
use crate::worker::step::Core;
use crate::worker::transact::AsyncWork;

/// So many changesets are put aside in one transaction: each is a stream, a place and the effect that failed, and DynamoDB
/// takes a hundred of them.
const PUT_ASIDE_AT_ONCE: usize = 24;

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
        let from = match effects.settings().start {
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
}

/// When a stream is tried again whose first changeset has failed so often, since then.
pub(crate) fn retry_at<E>(
    effects: &dyn Effects<E>,
    error: &BoxError,
    attempts: u32,
    since: Timestamp,
) -> Timestamp {
    if is_caused_by::<Refused>(&**error) {
        return NEVER;
    }
    let earliest = cause_of::<Postponed>(&**error).map(|postponed| postponed.wait).unwrap_or_default();
    effects.settings().retry_at(attempts, since, earliest)
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Lets the reactor act upon a batch, and moves the position past what it did.
    pub(crate) fn react(
        &mut self,
        control: Control,
        batch: Batch<P::Event>,
    ) -> BoxFuture<'_, Result<(), StepError>> {
        async move {
            // Its streams are its partitions' to act upon by now, and nobody else's.
            if self.core.is_dealt_out(&control) {
                return Err(StepError::Fenced);
            }
            let control = self.make_room(control).await?;
            // That may have taken long, and an operator may have been faster.
            let has_moved = control.position.next != batch.from;
            if has_moved || control.pause.is_some() || self.core.is_dealt_out(&control) {
                return Err(StepError::Fenced);
            }
            let records = self.records(control.clone());
            let acted = records.keeping(self.core.act(&batch, &self.parked, &records)).await?;
            records.trouble()?;
            self.pass(control, &batch, acted).await
        }
        .boxed()
    }

    /// The ledger, as long as the row is like this and this worker goes on.
    pub(crate) fn records(&self, control: Control) -> Records<P, D> {
        let end = WorkEnd { stop: self.stop.clone(), deadline: self.deadline };
        Records::new(self.core.clone(), self.live.clone(), control, end)
    }

    /// As many streams wait as may: whoever it is that does not answer, the rest waits in the log until some have got
    /// through.
    async fn make_room(&mut self, control: Control) -> Result<Control, StepError> {
        let OnFailure::Park(parking) = self.core.settings.on_failure else { return Ok(control) };
        if self.parked.is_empty() {
            return Ok(control);
        }
        let full = |parked: &[ParkedStream]| {
            let waiting: u64 = parked.iter().map(|stream| stream.changesets).sum();
            parked.len() >= parking.streams_max || waiting >= parking.changesets_max
        };
        if !full(&self.parked_streams().await?) {
            return Ok(control);
        }
        self.retry_due_streams().await;
        let parked = self.parked_streams().await?;
        let Some(first) = parked.first().filter(|_| full(&parked)) else { return self.load().await };
        let why = format!(
            "{} streams wait, and no more may; retry or discard some. One of them: stream \"{}\": {}",
            parked.len(),
            first.stream_id,
            first.error
        );
        Err(StepError::Outside(why.into()))
    }

    /// Moves the position past what was done, and puts aside what failed and what waits, in the order of the log.
    async fn pass(
        &mut self,
        control: Control,
        batch: &Batch<P::Event>,
        acted: Acted,
    ) -> Result<(), StepError> {
        let Acted { end, failed, error } = acted;
        let mut at = control;
        let mut waiting = Arc::unwrap_or_clone(std::mem::take(&mut self.parked));
        let mut aside = PutAside::of(&self.core);
        for changeset in 0..end {
            let Some(place) = batch.place(changeset) else { continue };
            let first = failed.get(&place.stream_id).filter(|failed| failed.changeset == changeset);
            if let Some((failed, effects)) = first.zip(self.core.projection.effects()) {
                let retry_at = retry_at(effects, &failed.error, 1, Timestamp::now());
                let error = chain(&*failed.error);
                tracing::warn!(
                    reactor = self.core.name(), checkpoint = place.checkpoint.get(), stream = %place.stream_id,
                    error, "the stream waits; the others go on"
                );
                waiting.insert(place.stream_id.clone());
                aside.changesets.push((place, error, retry_at));
            } else if waiting.contains(&place.stream_id) {
                aside.changesets.push((place, String::new(), Timestamp::now()));
            }
            if aside.changesets.len() == PUT_ASIDE_AT_ONCE {
                let aside = std::mem::replace(&mut aside, PutAside::of(&self.core));
                at = self.put_aside(at, batch, changeset + 1, aside).await?;
            }
        }
        if batch.position_before(end) > at.position.next || !aside.changesets.is_empty() {
            at = self.put_aside(at, batch, end, aside).await?;
        }
        self.parked = Arc::new(waiting);
        self.place(at);
        error.map_or(Ok(()), Err)
    }

    async fn put_aside(
        &mut self,
        from: Control,
        batch: &Batch<P::Event>,
        end: usize,
        aside: PutAside,
    ) -> Result<Control, StepError> {
        let to = from.advanced(batch.position_before(end), batch.head.log_id, batch.passed_before(end));
        let given_up = aside.changesets.iter().filter(|(.., retry_at)| *retry_at == NEVER).count();
        let due = aside.changesets.iter().map(|(.., retry_at)| *retry_at).min();
        self.core.transact(&from, to.clone(), None, aside).await?;
        self.live.update(|live| live.given_up_streams += given_up);
        self.parked_due = self.parked_due.into_iter().chain(due).min();
        Ok(to)
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
         checkpoint back repeats what lies after it, apart from what its ledger has as done"
    ))
}

/// Changesets that are not done, in the order of the log, each with the error and the next attempt of a stream that is new
/// among those that wait.
struct PutAside {
    name: String,
    changesets: Vec<(Applied, String, Timestamp)>,
}

impl PutAside {
    fn of<P, D>(core: &Core<P, D>) -> Self {
        Self { name: core.name().to_owned(), changesets: Vec::new() }
    }
}

impl<Tx: Transaction> AsyncWork<Tx> for PutAside {
    async fn run(self, tx: &mut Tx) -> Result<(), StepError> {
        for (place, error, retry_at) in &self.changesets {
            tx.park(&self.name, place, error, *retry_at).await.map_err(StepError::Database)?;
            if *retry_at == NEVER {
                let given_up = tx
                    .settle_effects(&self.name, &place.stream_id, place.changeset_id, EffectState::Parked)
                    .await;
                given_up.map_err(StepError::Database)?;
            }
        }
        Ok(())
    }
}
