//! A reactor's ledger in its own database. The start of an effect is committed before the effect runs, by the
//! worker that holds the reactor's row.

use std::time::Duration;

use ees_store::Timestamp;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::database::{Database, LedgerRows, Transaction};
use crate::reactor::{Effect, EffectId, EffectState, Ended, Ledger, Unrecorded};
use crate::worker::error::StepError;
use crate::worker::held_state::HeldState;

impl<D: Database> HeldState<D> {
    fn unrecorded(&self, error: StepError) -> Unrecorded {
        self.interrupt(error);
        Unrecorded
    }

    async fn begin_now(&self, id: &EffectId) -> Result<Effect, StepError> {
        // Held until the start is recorded: an operator or a worker that moves the row waits for it.
        let row = self.hold().await;
        let (core, believed, id) = (self.core().clone(), row.position, id.clone());
        let within = self.timeout;
        let begun = self.core().write_durably(move |tx| {
            async move {
                let found = tx.lock(core.id()).await?;
                if found.is_none_or(|found| found.position != believed) {
                    return Err(StepError::Fenced);
                }
                Ok(tx.begin_effect(core.id(), &id, Timestamp::now(), within).await?)
            }
            .boxed()
        });
        begun.await
    }

    async fn end_now(&self, id: &EffectId, ended: &Ended) -> Result<(), StepError> {
        let (core, id, ended) = (self.core().clone(), id.clone(), ended.clone());
        let end = self
            .core()
            .write_durably(move |tx| async move { Ok(tx.end_effect(core.id(), &id, &ended).await?) }.boxed());
        end.await
    }

    async fn end_again_and_again(&self, id: &EffectId, ended: &Ended) -> Result<(), StepError> {
        // The effect is done: a fault of the database must not cause a repetition.
        for delay in self.core().settings.retry.delays() {
            match self.end_now(id, ended).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::debug!(?error, "the end of an effect could not be recorded; retrying");
                    tokio::time::sleep(delay).await;
                }
            }
        }
        self.end_now(id, ended).await
    }
}

impl<D: Database> Ledger for HeldState<D> {
    fn begin<'a>(&'a self, id: &'a EffectId) -> BoxFuture<'a, Result<Effect, Unrecorded>> {
        async move {
            if self.is_over() {
                return Err(Unrecorded);
            }
            if self.end.is_here() {
                // The ledger has what is done; the worker that took over does the rest.
                return Err(self.unrecorded(StepError::Fenced));
            }
            self.begin_now(id).await.map_err(|error| self.unrecorded(error))
        }
        .boxed()
    }

    fn end<'a>(&'a self, id: &'a EffectId, ended: Ended) -> BoxFuture<'a, Result<(), Unrecorded>> {
        async move {
            self.status.figures().effect_ended(ended.state == EffectState::Done);
            self.end_again_and_again(id, &ended).await.map_err(|error| self.unrecorded(error))
        }
        .boxed()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }
}
