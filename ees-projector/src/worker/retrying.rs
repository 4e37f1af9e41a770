//! A reactor's streams that wait, tried again: several at once, each in its own order, until it gets through or is given
//! up.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use ees_store::{Checkpoint, StreamId, Timestamp};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use crate::control::{Applied, ParkedStream};
use crate::database::{Database, LedgerRows, ParkedRows, Transaction};
use crate::projection::{BoxError, Projection};
use crate::reactor::{EffectState, NEVER, Unfinished};
use crate::worker::error::{StepError, chain};
use crate::worker::ledger::Records;
use crate::worker::reacting::retry_at;
use crate::worker::runner::Runner;
use crate::worker::step::Core;
use crate::worker::transact::AsyncWork;

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Tries some of the streams again whose time has come: as many as are acted upon at once, so that what is new gets
    /// its turn in between.
    pub(crate) fn react_again(&mut self) -> BoxFuture<'_, Result<(), StepError>> {
        async move {
            let Some(settings) = self.core.projection.effects().map(|effects| *effects.settings()) else {
                return Ok(());
            };
            let at_once = settings.streams_at_once.max(1);
            let control = self.load().await?;
            let now = Timestamp::now();
            let mut due = self.parked_streams().await?;
            due.retain(|stream| stream.retry_at <= now);
            due.truncate(at_once);
            let records = self.records(control);
            let again: FuturesUnordered<_> =
                due.into_iter().map(|stream| self.core.stream_again(stream, &records)).collect();
            // To the end of all of them: one that can't go on must not cut off what another is doing.
            let done = records.keeping(again.collect::<Vec<_>>()).await;
            // What was written moved the row.
            self.control = None;
            done?.into_iter().collect()
        }
        .boxed()
    }

    /// As [`retry_due_streams`](Self::retry_due_streams), for as long as some are due: for hosts that do not stay.
    pub(crate) async fn retry_until(&mut self, deadline: Instant) {
        loop {
            let before = self.parked_due;
            self.retry_due_streams().await;
            let due = self.parked_due.is_some_and(|due| due <= Timestamp::now());
            if !self.core.is_reactor() || !due || before.is_none() || Instant::now() >= deadline {
                return;
            }
        }
    }
}

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    async fn stream_again(
        self: &Arc<Self>,
        mut stream: ParkedStream,
        records: &Records<P, D>,
    ) -> Result<(), StepError> {
        loop {
            let places = self.parked_places(&stream.stream_id).await?;
            if places.is_empty() {
                tracing::info!(reactor = self.name(), stream = %stream.stream_id, "the stream got through");
                return Ok(());
            }
            for checkpoint in places {
                match self.changeset_again(&stream.stream_id, checkpoint, records).await? {
                    Ok(()) => (stream.attempts, stream.since) = (0, Timestamp::now()),
                    Err((place, error)) => return self.failed_again(stream, &place, &error, records).await,
                }
            }
        }
    }

    /// Acts upon a changeset that waits, and takes it off the list; or what it failed with.
    async fn changeset_again(
        self: &Arc<Self>,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
        records: &Records<P, D>,
    ) -> Result<Result<(), (Applied, BoxError)>, StepError> {
        let (batch, place) = self.parked_changeset(stream_id, checkpoint).await?;
        let acted = self.act(&batch, &HashSet::new(), records).await;
        records.trouble()?;
        if let Some(failed) = acted.failed.into_values().next() {
            return Ok(Err((place, failed.error)));
        }
        if let Some(error) = acted.error {
            return Err(error);
        }
        if acted.end == 0 {
            return Err(StepError::Outside(Unfinished.into()));
        }
        records.change(GotThrough { name: self.name().to_owned(), place }).await?;
        Ok(Ok(()))
    }

    /// Notes that an operator decided what is not to be done; the stream's next changeset gets its turn.
    pub(crate) async fn discard_effects(&self, tx: &mut D::Tx, place: &Applied) -> Result<(), StepError> {
        if !self.is_reactor() {
            return Ok(());
        }
        let (stream_id, changeset_id) = (&place.stream_id, place.changeset_id);
        tx.settle_effects(self.name(), stream_id, changeset_id, EffectState::Discarded)
            .await
            .map_err(StepError::Database)?;
        let next = ParkedStream::fresh(stream_id.clone(), changeset_id);
        tx.update_parked(self.name(), &next).await.map_err(StepError::Database)
    }

    /// Lets streams be tried again now, for as long as if they had failed just now.
    pub(crate) async fn make_due(&self, tx: &mut D::Tx, streams: &[StreamId]) -> Result<(), StepError> {
        let now = Timestamp::now();
        for stream in tx.parked(self.name()).await.map_err(StepError::Database)? {
            if streams.contains(&stream.stream_id) {
                let due = ParkedStream { since: now, retry_at: now, ..stream };
                tx.update_parked(self.name(), &due).await.map_err(StepError::Database)?;
            }
        }
        Ok(())
    }

    async fn failed_again(
        &self,
        mut stream: ParkedStream,
        place: &Applied,
        error: &BoxError,
        records: &Records<P, D>,
    ) -> Result<(), StepError> {
        let Some(effects) = self.projection.effects() else { return Ok(()) };
        stream.attempts = stream.attempts.saturating_add(1);
        stream.error = chain(&**error);
        stream.retry_at = retry_at(effects, error, stream.attempts, stream.since);
        if stream.retry_at == NEVER {
            tracing::error!(
                reactor = self.name(), stream = %stream.stream_id, changeset = place.changeset_id.get(),
                error = stream.error, "given up: mend it and retry, or discard the changeset"
            );
        }
        records.change(FailedAgain { name: self.name().to_owned(), stream, place: place.clone() }).await
    }
}

struct GotThrough {
    name: String,
    place: Applied,
}

impl<Tx: Transaction> AsyncWork<Tx> for GotThrough {
    async fn run(self, tx: &mut Tx) -> Result<(), StepError> {
        let Self { name, place } = self;
        let there = tx.unpark(&name, &place.stream_id, place.checkpoint).await;
        if !there.map_err(StepError::Database)? {
            return Err(StepError::Fenced);
        }
        let next = ParkedStream::fresh(place.stream_id, place.changeset_id);
        tx.update_parked(&name, &next).await.map_err(StepError::Database)
    }
}

struct FailedAgain {
    name: String,
    stream: ParkedStream,
    place: Applied,
}

impl<Tx: Transaction> AsyncWork<Tx> for FailedAgain {
    async fn run(self, tx: &mut Tx) -> Result<(), StepError> {
        let Self { name, stream, place } = self;
        tx.update_parked(&name, &stream).await.map_err(StepError::Database)?;
        if stream.retry_at < NEVER {
            return Ok(());
        }
        let given_up =
            tx.settle_effects(&name, &place.stream_id, place.changeset_id, EffectState::Parked).await;
        given_up.map_err(StepError::Database)
    }
}
