//! Lets a reactor act on the log with a ledger that does none of its effects, and tells which of them the real ledger
//! does not have.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint, EventId, Json, StreamId, Timestamp, checkpoint_since};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, LedgerRows, ParkedRows, TimerRows, Transaction};
use crate::error::{BoxError, chain};
use crate::preview::{FailedInPreview, Failures, PreviewOptions, PreviewedEffect, ReactorPreview};
use crate::projection_state::ProjectionState;
use crate::reactor::{
    Effect, EffectId, EffectQuery, EffectState, Ended, Ledger, Timer, TimerChange, Unrecorded,
};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::worker_status::WorkerStatus;

/// Changesets that are read at once.
const PAGE: usize = 1_000;
/// The most effects of one stream that are looked up.
const OF_STREAM_MAX: usize = 100_000;
/// A time that no effect of a preview reaches, as none is done.
const NO_TIMEOUT: Duration = Duration::from_secs(60);

impl<D: Database> Core<D> {
    /// Lets the reactor act on the log without doing anything.
    pub(crate) async fn preview_effects(
        self: Arc<Self>,
        wanted: PreviewOptions,
        status: Arc<WorkerStatus>,
        stop: CancellationToken,
    ) -> Result<ReactorPreview, OperateError> {
        let kept = self.processor.ledger_keeps()?;
        let core = self.clone();
        let live = self.read(move |tx| {
            async move {
                let parked = tx.parked(core.id()).await?.len() as u64;
                Ok((tx.load(core.id()).await?, parked))
            }
            .boxed()
        });
        let (live, parked_streams) = live.await?;
        let head = self.verified_head(&live).await?;
        let since = wanted.since.unwrap_or_else(|| Timestamp::now().earlier_by(kept));
        let from = match checkpoint_since(&*self.log, since).await {
            Ok(from) => from,
            // A log without times.
            Err(ees_store::Error::InvalidRequest(_)) if wanted.since.is_none() => Checkpoint::START,
            Err(ees_store::Error::InvalidRequest(why)) => return Err(OperateError::Failed(why)),
            Err(other) => return Err(StepError::from(other).into()),
        };
        let ledger = Previewed { core: self.clone(), samples: wanted.samples, seen: Mutex::default() };
        let mut failures = Failures::default();
        let (mut at, mut failed) = (from, HashSet::new());
        while at < head.checkpoint {
            if stop.is_cancelled() {
                return Err(OperateError::Failed("the preview was interrupted".to_owned()));
            }
            status.set_state(&ProjectionState {
                rebuild_until: Some(head.checkpoint),
                ..ProjectionState::new(self.processor.version()).advanced(at, head.log_id, None)
            });
            let batch = self.fetch_until(at, head.checkpoint, PAGE).await?;
            if batch.next <= at {
                return Err(OperateError::Unavailable(format!(
                    "the log ends before checkpoint {}",
                    head.checkpoint
                )));
            }
            let executed = self.processor.act(&batch, &failed, &ledger).await;
            if let Some(error) = ledger.seen().failed.take().or(executed.error) {
                return Err(error.into());
            }
            for (changeset, entry) in batch.changesets.iter().enumerate() {
                let fails = executed.failed.get(&entry.stream_id).filter(|it| it.changeset == changeset);
                if let Some(fails) = fails {
                    failures.streams += 1;
                    if failures.samples.len() < wanted.samples {
                        let error = ledger.explained(&entry.stream_id, entry.changeset_id, &fails.error);
                        let (stream_id, changeset_id) = (entry.stream_id.clone(), entry.changeset_id);
                        failures.samples.push(FailedInPreview { stream_id, changeset_id, error });
                    }
                    failed.insert(entry.stream_id.clone());
                }
                failures.changesets += u64::from(failed.contains(&entry.stream_id));
            }
            at = batch.next;
            ledger.forget_streams();
        }
        let Seen { known, missing, effects, .. } = std::mem::take(&mut *ledger.seen());
        Ok(ReactorPreview {
            name: self.name().to_owned(),
            from: from.get(),
            until: head.checkpoint.get(),
            live_checkpoint: live.map(|live| live.position.next.get()),
            known,
            missing,
            effects,
            failures,
            parked_streams,
        })
    }
}

/// The ledger of a preview: it reads the real one, and calls every effect done, so that none is.
struct Previewed<D: Database> {
    core: Arc<Core<D>>,
    samples: usize,
    seen: Mutex<Seen>,
}

/// An effect within its stream.
type InStream = (ChangesetId, EventId, String);

#[derive(Default)]
struct Seen {
    known: u64,
    missing: u64,
    effects: Vec<PreviewedEffect>,
    /// The effects that the ledger has of the streams of this page.
    streams: HashMap<StreamId, Arc<HashMap<InStream, Effect>>>,
    /// The changesets of this page with an effect that was not done, and its name.
    not_done: HashMap<(StreamId, ChangesetId), String>,
    /// Whether the preview has set or cancelled a timer of a stream.
    timers: HashMap<(StreamId, String), bool>,
    /// Why the ledger can't be read.
    failed: Option<StepError>,
}

impl<D: Database> Previewed<D> {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_streams(&self) {
        let mut seen = self.seen();
        seen.streams.clear();
        seen.not_done.clear();
    }

    /// Says of an event that failed which effect was not done before.
    fn explained(&self, stream_id: &StreamId, changeset_id: ChangesetId, error: &BoxError) -> String {
        let error = chain(&**error);
        match self.seen().not_done.get(&(stream_id.clone(), changeset_id)) {
            Some(effect) => format!(
                "after effect {effect}, whose result is not known, because a preview does not do it: {error}"
            ),
            None => error,
        }
    }

    fn unread(&self, error: StepError) -> Unrecorded {
        self.seen().failed = Some(error);
        Unrecorded
    }

    /// Returns what the ledger has of a stream.
    async fn of_stream(&self, stream_id: &StreamId) -> Result<Arc<HashMap<InStream, Effect>>, Unrecorded> {
        if let Some(known) = self.seen().streams.get(stream_id) {
            return Ok(known.clone());
        }
        let core = self.core.clone();
        let wanted = EffectQuery { stream_id: Some(stream_id.clone()), state: None, limit: OF_STREAM_MAX };
        let read = self.core.read(move |tx| async move { Ok(tx.effects(core.id(), &wanted).await?) }.boxed());
        let effects = read.await.map_err(|error| self.unread(error))?;
        let in_stream =
            |effect: Effect| ((effect.changeset_id, effect.event_id, effect.effect.clone()), effect);
        let effects = Arc::new(effects.into_iter().map(in_stream).collect::<HashMap<_, _>>());
        self.seen().streams.insert(stream_id.clone(), effects.clone());
        Ok(effects)
    }

    /// Returns the effect as done, and whether the ledger has it.
    async fn look_up(&self, id: &EffectId, timer: Option<&Timer>) -> Result<(Effect, bool), Unrecorded> {
        let known = self.of_stream(&id.stream_id).await?;
        let known = known.get(&(id.changeset_id, id.event_id, id.effect.clone())).cloned();
        let mut seen = self.seen();
        if let Some(known) = known {
            seen.known += 1;
            return Ok((Effect { state: EffectState::Done, ..known }, true));
        }
        seen.missing += 1;
        seen.not_done.insert((id.stream_id.clone(), id.changeset_id), id.effect.clone());
        let effect = Effect { state: EffectState::Done, ..id.unstarted(Timestamp::now()) };
        if seen.effects.len() < self.samples {
            seen.effects.push(PreviewedEffect {
                effect: id.effect.clone(),
                key: effect.key(self.core.processor.name()),
                stream_id: id.stream_id.clone(),
                changeset_id: id.changeset_id,
                event_id: id.event_id,
                due: timer.map(|timer| timer.due),
                payload: timer.map(|timer| timer.payload.clone()),
            });
        }
        Ok((effect, false))
    }

    /// Whether a stream has a timer: one that the preview would have set, or a real one.
    async fn has_timer(&self, stream_id: &StreamId, key: &str) -> Result<bool, Unrecorded> {
        if let Some(is_set) = self.seen().timers.get(&(stream_id.clone(), key.to_owned())) {
            return Ok(*is_set);
        }
        let (core, stream_id, key) = (self.core.clone(), stream_id.clone(), key.to_owned());
        let read = self.core.read(move |tx| {
            async move { Ok(tx.timer(core.id(), &stream_id, &key).await?.is_some()) }.boxed()
        });
        read.await.map_err(|error| self.unread(error))
    }
}

impl<D: Database> Ledger for Previewed<D> {
    fn begin<'a>(&'a self, id: &'a EffectId) -> BoxFuture<'a, Result<(Effect, Instant), Unrecorded>> {
        async move { Ok((self.look_up(id, None).await?.0, Instant::now() + NO_TIMEOUT)) }.boxed()
    }

    fn end<'a>(&'a self, _: &'a EffectId, _: Ended) -> BoxFuture<'a, Result<(), Unrecorded>> {
        async { Ok(()) }.boxed()
    }

    fn change_timer<'a>(
        &'a self,
        id: &'a EffectId,
        change: TimerChange,
    ) -> BoxFuture<'a, Result<Effect, Unrecorded>> {
        async move {
            let (timer, key, is_set) = match &change {
                TimerChange::Set(timer) => (Some(&**timer), &timer.key, true),
                TimerChange::Cancel(key) => (None, key, false),
            };
            let (effect, is_known) = self.look_up(id, timer).await?;
            if is_known {
                return Ok(effect);
            }
            let had = self.has_timer(&id.stream_id, key).await?;
            self.seen().timers.insert((id.stream_id.clone(), key.clone()), is_set);
            let result = Json::of(&had).map_err(|error| self.unread(StepError::Database(error.into())))?;
            Ok(Effect { result: Some(result), ..effect })
        }
        .boxed()
    }

    /// A preview fires no timers.
    fn begin_firing<'a>(&'a self, _: &'a Timer) -> BoxFuture<'a, Result<Option<Effect>, Unrecorded>> {
        async { Ok(None) }.boxed()
    }

    fn end_firing<'a>(
        &'a self,
        _: &'a Timer,
        _: Ended,
        _: Option<Timer>,
    ) -> BoxFuture<'a, Result<(), Unrecorded>> {
        async { Ok(()) }.boxed()
    }

    fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    fn timeout(&self) -> Duration {
        NO_TIMEOUT
    }
}
