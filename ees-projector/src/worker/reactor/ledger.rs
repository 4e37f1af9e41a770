//! A reactor's ledger in its own database. The start of an effect is committed before the effect runs, by the
//! worker that holds the reactor's row.

use std::time::Duration;

use ees_store::{Json, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::database::{Database, LedgerRows, TimerRows, Transaction};
use crate::reactor::{Effect, EffectId, EffectState, Ended, Ledger, Timer, TimerChange, Unrecorded};
use crate::worker::error::StepError;
use crate::worker::held_state::HeldState;

impl<D: Database> HeldState<D> {
    fn unrecorded(&self, error: StepError) -> Unrecorded {
        self.interrupt(error);
        Unrecorded
    }

    /// Writes in the ledger, if the row is still this worker's.
    async fn write_held<T, W>(&self, work: W) -> Result<T, Unrecorded>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut D::Tx) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    {
        if self.is_over() {
            return Err(Unrecorded);
        }
        if self.end.is_here() {
            // The ledger has what is done; the worker that took over does the rest.
            return Err(self.unrecorded(StepError::Fenced));
        }
        // Held until it is written: an operator or a worker that moves the row waits for it.
        let row = self.hold().await;
        let (core, believed) = (self.core().clone(), row.position);
        let written = self.core().write_durably(move |tx| {
            async move {
                let found = tx.lock(core.id()).await?;
                if found.is_none_or(|found| found.position != believed) {
                    return Err(StepError::Fenced);
                }
                work(tx).await
            }
            .boxed()
        });
        written.await.map_err(|error| self.unrecorded(error))
    }

    async fn end_now(&self, end: &End) -> Result<(), StepError> {
        let (core, end) = (self.core().clone(), end.clone());
        let write = self.core().write_durably(move |tx| {
            async move {
                if let Some(fired) = &end.fired {
                    let Timer { stream_id, key, .. } = &fired.timer;
                    tx.lock(core.id()).await?;
                    match fired.change(tx.timer(core.id(), stream_id, key).await?.as_ref()) {
                        Some(TimerChange::Set(left)) => tx.put_timer(core.id(), &left).await?,
                        Some(TimerChange::Cancel(key)) => {
                            tx.remove_timer(core.id(), stream_id, &key).await?;
                        }
                        None => {}
                    }
                }
                Ok(tx.end_effect(core.id(), &end.id, &end.ended).await?)
            }
            .boxed()
        });
        write.await
    }

    async fn end_again_and_again(&self, end: End) -> Result<(), Unrecorded> {
        self.status.figures().effect_ended(end.ended.state == EffectState::Done);
        // The effect is done: a fault of the database must not cause a repetition.
        for delay in self.core().settings.retry.delays() {
            match self.end_now(&end).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::debug!(?error, "the end of an effect could not be recorded; retrying");
                    tokio::time::sleep(delay).await;
                }
            }
        }
        self.end_now(&end).await.map_err(|error| self.unrecorded(error))
    }
}

/// The end of an effect.
#[derive(Clone)]
struct End {
    id: EffectId,
    ended: Ended,
    /// If it is a firing.
    fired: Option<Fired>,
}

/// A timer that has fired, and what there is under its key from then on.
#[derive(Clone)]
pub(crate) struct Fired {
    pub(crate) timer: Timer,
    pub(crate) left: Option<Timer>,
}

impl Fired {
    /// Returns what changes, if this is set under the key now: another timer than the one that has fired stays as it is.
    pub(crate) fn change(&self, set: Option<&Timer>) -> Option<TimerChange> {
        self.timer.is_still(set).then(|| match &self.left {
            Some(left) => TimerChange::Set(Box::new(left.clone())),
            None => TimerChange::Cancel(self.timer.key.clone()),
        })
    }
}

impl<D: Database> Ledger for HeldState<D> {
    fn begin<'a>(&'a self, id: &'a EffectId) -> BoxFuture<'a, Result<(Effect, Instant), Unrecorded>> {
        async move {
            let (core, begun_id, within) = (self.core().clone(), id.clone(), self.timeout);
            // From before it is in the ledger, where its time begins.
            let deadline = Instant::now() + within;
            let begin = self.write_held(move |tx| {
                async move { Ok(tx.begin_effect(core.id(), &begun_id, Timestamp::now(), within).await?) }
                    .boxed()
            });
            let begun = begin.await?;
            if begun.state != EffectState::Done && Instant::now() >= deadline {
                // Nothing was done yet, so nothing has failed: it begins again, with all of its time.
                let (projection, effect) = (self.core().name(), &id.effect);
                tracing::warn!(
                    projection,
                    effect,
                    ?within,
                    "recording the start of an effect took all of its time"
                );
                return Err(self.unrecorded(StepError::Fenced));
            }
            Ok((begun, deadline))
        }
        .boxed()
    }

    fn end<'a>(&'a self, id: &'a EffectId, ended: Ended) -> BoxFuture<'a, Result<(), Unrecorded>> {
        self.end_again_and_again(End { id: id.clone(), ended, fired: None }).boxed()
    }

    fn change_timer<'a>(
        &'a self,
        id: &'a EffectId,
        change: TimerChange,
    ) -> BoxFuture<'a, Result<Effect, Unrecorded>> {
        async move {
            if let TimerChange::Set(timer) = &change {
                // Also if the answer of the database is lost.
                self.note_timer(timer.next_at);
            }
            let (core, id, within) = (self.core().clone(), id.clone(), self.timeout);
            let changed = self.write_held(move |tx| {
                async move {
                    let mut effect = tx.begin_effect(core.id(), &id, Timestamp::now(), within).await?;
                    if effect.state == EffectState::Done {
                        return Ok(effect);
                    }
                    let result = match change {
                        TimerChange::Set(timer) => {
                            tx.put_timer(core.id(), &timer).await?;
                            Json::of(&timer.due)
                        }
                        TimerChange::Cancel(key) => {
                            let is_set = tx.timer(core.id(), &id.stream_id, &key).await?.is_some();
                            if is_set {
                                tx.remove_timer(core.id(), &id.stream_id, &key).await?;
                            }
                            Json::of(&is_set)
                        }
                    };
                    let result = Some(result.map_err(|error| StepError::Database(error.into()))?);
                    let (attempt, at) = (effect.attempts, Timestamp::now());
                    let ended = Ended { attempt, at, state: EffectState::Done, error: None, result };
                    tx.end_effect(core.id(), &id, &ended).await?;
                    effect.record_end(ended);
                    Ok(effect)
                }
                .boxed()
            });
            changed.await
        }
        .boxed()
    }

    fn begin_firing<'a>(&'a self, timer: &'a Timer) -> BoxFuture<'a, Result<Option<Effect>, Unrecorded>> {
        let (core, timer, within) = (self.core().clone(), timer.clone(), self.timeout);
        let begin = self.write_held(move |tx| {
            async move {
                let set = tx.timer(core.id(), &timer.stream_id, &timer.key).await?;
                if !timer.is_still(set.as_ref()) {
                    return Ok(None);
                }
                let begun = tx.begin_effect(core.id(), &timer.firing(), Timestamp::now(), within).await?;
                Ok(Some(begun))
            }
            .boxed()
        });
        begin.boxed()
    }

    fn end_firing<'a>(
        &'a self,
        timer: &'a Timer,
        ended: Ended,
        left: Option<Timer>,
    ) -> BoxFuture<'a, Result<(), Unrecorded>> {
        async move {
            if self.is_over() {
                return Err(Unrecorded);
            }
            if let Some(left) = &left {
                self.note_timer(left.next_at);
            }
            let fired = Some(Fired { timer: timer.clone(), left });
            self.end_again_and_again(End { id: timer.firing(), ended, fired }).await
        }
        .boxed()
    }

    fn now(&self) -> Timestamp {
        self.core().clock.now()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }
}
