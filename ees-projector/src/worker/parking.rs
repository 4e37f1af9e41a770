//! Streams that wait because one of their changesets failed, and how they get on again.

use std::sync::Arc;
use std::time::Duration;

use ees_store::{Checkpoint, LogQuery, StreamId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::control::{Applied, Control, ParkedStream, Position};
use crate::database::{Database, ParkedRows, Transaction};
use crate::policy::{OnFailure, Parking};
use crate::projection::{BoxError, Projection};
use crate::reactor::NEVER;
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;
use crate::worker::same_log::{is_late, late};
use crate::worker::step::Core;
use crate::worker::transact::AsyncWork;

/// Changesets of one stream in a portion.
const RETRIED_AT_ONCE: usize = 100;

/// How much of a parked stream is tried again before others get their turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    OnePortion,
    UntilTheEnd,
}

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Puts the changeset aside, with all later ones of its stream, and goes on after it. Too many, and the
    /// projection is paused instead.
    pub(crate) async fn park(
        &mut self,
        control: Control,
        parking: Parking,
        place: &Applied,
        attempts: u32,
        message: &str,
    ) -> Result<(), StepError> {
        let parked = self.parked_streams().await?;
        let waiting: u64 = parked.iter().map(|stream| stream.changesets).sum();
        if parked.len() >= parking.streams_max || waiting >= parking.changesets_max {
            let reason = format!(
                "too much is parked already ({} streams, {waiting} changesets); then came: {message}",
                parked.len()
            );
            return self.pause_at(control, place, attempts, reason).await;
        }
        let retry_at = in_future(parking.retry_after(0));
        let log_id = match control.log_id {
            Some(log_id) => log_id,
            None => self.core.log.head().await.map_err(StepError::Log)?.log_id,
        };
        let to = control.advanced(place.checkpoint.next(), log_id, Some(place.clone()));
        let name = self.core.name().to_owned();
        let work = Park { name, place: place.clone(), error: message.to_owned(), retry_at };
        self.core.transact(&control, to.clone(), None, work).await?;
        tracing::error!(
            projection = self.core.name(), checkpoint = place.checkpoint.get(),
            stream = %place.stream_id, error = message, "the stream is parked; the others go on"
        );
        Arc::make_mut(&mut self.parked).insert(place.stream_id.clone());
        self.parked_due = Some(self.parked_due.map_or(retry_at, |due| due.min(retry_at)));
        self.place(to);
        Ok(())
    }

    /// A changeset of a parked stream for which there is no room left among those that wait, counted within the batch.
    pub(crate) async fn one_too_many(&self, batch: &Batch<P::Event>) -> Result<Option<usize>, StepError> {
        let OnFailure::Park(parking) = self.core.settings.on_failure else { return Ok(None) };
        if self.parked.is_empty() {
            return Ok(None);
        }
        let of_parked = |changeset: &usize| self.parked.contains(&batch.changesets[*changeset].stream_id);
        let mut more = (0..batch.changesets.len()).filter(of_parked).peekable();
        if more.peek().is_none() {
            return Ok(None);
        }
        let waiting: u64 = self.parked_streams().await?.iter().map(|stream| stream.changesets).sum();
        let room = parking.changesets_max.saturating_sub(waiting);
        Ok(more.nth(usize::try_from(room).unwrap_or(usize::MAX)))
    }

    /// Tries the streams again whose time has come.
    pub(crate) fn retry_due_streams(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if self.parked_due.is_none_or(|due| due > Timestamp::now()) {
                return;
            }
            let retried = match self.may_retry().await {
                Ok(false) => return,
                Ok(true) => {
                    self.retry_streams(|stream| stream.retry_at <= Timestamp::now(), Patience::OnePortion)
                        .await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = retried {
                tracing::warn!(projection = self.core.name(), ?error, "parked streams could not be retried");
                self.control = None;
                self.parked_due = Some(in_future(self.core.settings.retry.delay_max));
            }
        }
        .boxed()
    }

    /// Whether the projection is at work, and it is this worker who does it: it may have been asleep for a while.
    async fn may_retry(&mut self) -> Result<bool, StepError> {
        self.load().await?;
        if !self.has_lease().await? {
            return Ok(false);
        }
        let control = self.load().await?;
        Ok(control.pause.is_none() && !self.core.is_dealt_out(&control))
    }

    /// Tries some of the parked streams again, each in its own order.
    pub(crate) async fn retry_streams(
        &mut self,
        wanted: impl Fn(&ParkedStream) -> bool,
        patience: Patience,
    ) -> Result<(), StepError> {
        self.load().await?;
        if self.core.is_reactor() {
            self.react_again().await?;
        } else {
            for stream in self.parked_streams().await?.into_iter().filter(|stream| wanted(stream)) {
                self.retry_stream(&stream, patience).await?;
            }
        }
        let control = self.load().await?;
        let parked = self.parked_streams().await?;
        self.know_parked(parked);
        self.place(control);
        Ok(())
    }

    /// Notes which streams wait.
    pub(crate) fn know_parked(&mut self, parked: Vec<ParkedStream>) {
        let given_up = parked.iter().filter(|stream| stream.retry_at == NEVER).count();
        self.live.update(|live| live.given_up_streams = given_up);
        self.parked_due = parked.iter().map(|stream| stream.retry_at).min();
        self.parked = Arc::new(parked.into_iter().map(|stream| stream.stream_id).collect());
    }

    /// Applies a parked stream's changesets in order, each in a transaction that also takes it off the list.
    async fn retry_stream(&mut self, stream: &ParkedStream, patience: Patience) -> Result<(), StepError> {
        loop {
            let places = self.core.parked_places(&stream.stream_id).await?;
            if places.is_empty() {
                tracing::info!(
                    projection = self.core.name(), stream = %stream.stream_id,
                    "the parked stream got through"
                );
                return Ok(());
            }
            for checkpoint in places {
                match self.retry_changeset(&stream.stream_id, checkpoint).await {
                    Ok(()) => {}
                    Err(StepError::Failed { error, .. } | StepError::TooLarge { error, .. }) => {
                        return self.note_parked_failure(stream, error).await;
                    }
                    Err(other) => return Err(other),
                }
            }
            if patience == Patience::OnePortion {
                return Ok(());
            }
        }
    }

    async fn retry_changeset(
        &mut self,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<(), StepError> {
        let control = self.load().await?;
        let (batch, place) = self.core.parked_changeset(stream_id, checkpoint).await?;
        if let Some(error) = batch.unreadable.get(&0) {
            return Err(StepError::Failed { at: control.position, place, error: error.to_string() });
        }
        let work = Unpark {
            core: self.core.clone(),
            batch: Arc::new(batch),
            place: place.clone(),
            at: control.position,
        };
        self.control = None;
        // Every worker that believes this changeset parked must look again.
        let moved = |control: &Control| control.moved(|_| {});
        let moved = self.core.transact_wherever(&control, moved, Some(place), work).await?;
        self.control = Some(moved);
        Ok(())
    }

    async fn note_parked_failure(&mut self, stream: &ParkedStream, error: String) -> Result<(), StepError> {
        let control = self.load().await?;
        let parking = match self.core.settings.on_failure {
            OnFailure::Park(parking) => parking,
            OnFailure::Pause => Parking::default(),
        };
        let retry_at = in_future(parking.retry_after(stream.attempts));
        let attempts = stream.attempts.saturating_add(1);
        let stream = ParkedStream { attempts, error, retry_at, ..stream.clone() };
        let work = ParkedAgain { name: self.core.name().to_owned(), stream };
        self.control = Some(self.core.transact_wherever(&control, Control::clone, None, work).await?);
        Ok(())
    }

    pub(crate) async fn parked_streams(&self) -> Result<Vec<ParkedStream>, StepError> {
        self.core.parked().await.map_err(StepError::Database)
    }
}

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// The streams that wait, those to be tried first at the front.
    pub(crate) async fn parked(self: &Arc<Self>) -> Result<Vec<ParkedStream>, BoxError> {
        let core = self.clone();
        let read = async move { core.database.begin().await?.parked(core.name()).await };
        Ok(self.own(self.database.run(read).await??))
    }

    /// A changeset that waits, read again.
    pub(crate) async fn parked_changeset(
        &self,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<(Batch<P::Event>, Applied), StepError> {
        let page = self.log.read(LogQuery::from(checkpoint, 1)).await.map_err(StepError::Log)?;
        if is_late(&page, checkpoint) {
            return Err(late(checkpoint));
        }
        let batch = Batch::decode(checkpoint, page, &self.projection.filter(), &self.projection.reading());
        let found =
            batch.place(0).filter(|place| place.checkpoint == checkpoint && place.stream_id == *stream_id);
        let place = found.ok_or_else(|| {
            StepError::Replaced(format!("the parked changeset at checkpoint {checkpoint} is not in the log"))
        })?;
        Ok((batch, place))
    }

    pub(crate) async fn parked_places(
        self: &Arc<Self>,
        stream_id: &StreamId,
    ) -> Result<Vec<Checkpoint>, StepError> {
        let core = self.clone();
        let stream_id = stream_id.clone();
        let read = async move {
            let mut tx = core.database.begin().await?;
            tx.parked_places(core.name(), &stream_id, RETRIED_AT_ONCE).await
        };
        self.database.run(read).await.and_then(|places| places).map_err(StepError::Database)
    }
}

pub(crate) fn in_future(wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(Timestamp::now().as_micros().saturating_add(micros))
}

struct Park {
    name: String,
    place: Applied,
    error: String,
    retry_at: Timestamp,
}

impl<Tx: Transaction> AsyncWork<Tx> for Park {
    async fn run(self, tx: &mut Tx) -> Result<(), StepError> {
        tx.park(&self.name, &self.place, &self.error, self.retry_at).await.map_err(StepError::Database)
    }
}

struct ParkedAgain {
    name: String,
    stream: ParkedStream,
}

impl<Tx: Transaction> AsyncWork<Tx> for ParkedAgain {
    async fn run(self, tx: &mut Tx) -> Result<(), StepError> {
        tx.update_parked(&self.name, &self.stream).await.map_err(StepError::Database)
    }
}

struct Unpark<P: Projection<D::Tx>, D: Database> {
    core: Arc<Core<P, D>>,
    batch: Arc<Batch<P::Event>>,
    place: Applied,
    at: Position,
}

impl<P: Projection<D::Tx>, D: Database> AsyncWork<D::Tx> for Unpark<P, D> {
    async fn run(self, tx: &mut D::Tx) -> Result<(), StepError> {
        let name = self.core.name();
        let there = tx.unpark(name, &self.place.stream_id, self.place.checkpoint).await;
        if !there.map_err(StepError::Database)? {
            return Err(StepError::Fenced);
        }
        let events: Vec<_> = self.batch.events(0..1).collect();
        self.core.run_projection(&events, self.at, self.place, tx).await
    }
}
