//! Fires timers: lets a reactor act on them and records it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ees_store::{Json, StreamId, Timestamp};
use futures::{StreamExt, stream};

use crate::error::{BoxError, chain, is_caused_by};
use crate::reactor::{EffectState, Ended, Ledger, Timer, Unrecorded};
use crate::worker::reactor::effects::Effects;

/// How long firings begin before new changesets get their turn.
const FIRING_MAX: Duration = Duration::from_secs(1);

/// Fires timers, several streams at once as the reactor's settings say. Begins no more of them once the ledger
/// can't be written, or after [`FIRING_MAX`]. Returns `true` if all have fired, and nobody else has changed them. Safe to
/// drop: what the ledger does not have as done is fired again.
pub(crate) async fn fire(effects: &dyn Effects, timers: Vec<Timer>, ledger: &dyn Ledger) -> bool {
    let (began, all_fired) = (Instant::now(), AtomicBool::new(true));
    let mut streams: BTreeMap<StreamId, Vec<Timer>> = BTreeMap::new();
    for timer in timers {
        streams.entry(timer.stream_id.clone()).or_default().push(timer);
    }
    let fire_stream = async |timers: Vec<Timer>| {
        for timer in timers {
            let is_late = began.elapsed() > FIRING_MAX;
            let fired = if is_late { Err(Unrecorded) } else { fire_one(effects, timer, ledger).await };
            if !matches!(fired, Ok(true)) {
                all_fired.store(false, SeqCst);
            }
            if fired.is_err() {
                break;
            }
        }
    };
    let at_once = effects.settings().streams_at_once.max(1);
    stream::iter(streams.into_values()).for_each_concurrent(at_once, fire_stream).await;
    all_fired.into_inner()
}

/// Returns `false` if the timer was cancelled, or set to another time: by one that fired before it, or by another worker that
/// fires the same timers. What that one has set in its place, nobody here knows.
async fn fire_one(effects: &dyn Effects, timer: Timer, ledger: &dyn Ledger) -> Result<bool, Unrecorded> {
    let Some(begun) = ledger.begin_firing(&timer).await? else { return Ok(false) };
    let fired = match begun.state {
        EffectState::Done => Ok(None),
        _ => effects.fire(&timer, ledger).await,
    };
    let (attempt, at) = (begun.attempts, Timestamp::now());
    let (ended, left) = match fired {
        Ok(next) => {
            let result = Json::of(&next.as_ref().map(|next| next.due)).ok();
            (Ended { attempt, at, state: EffectState::Done, error: None, result }, next)
        }
        Err(error) if is_caused_by::<Unrecorded>(&*error) => return Err(Unrecorded),
        Err(error) => {
            let wait = effects.retry_after(&error, timer.attempts.saturating_add(1));
            let postponed = postponed(&timer, &error, wait, ledger.now());
            let error = postponed.error.clone();
            (Ended { attempt, at, state: EffectState::Failed, error, result: None }, Some(postponed))
        }
    };
    ledger.end_firing(&timer, ended, left).await?;
    Ok(true)
}

/// Returns the timer as it waits after a failure.
pub(crate) fn postponed(timer: &Timer, error: &BoxError, wait: Duration, now: Timestamp) -> Timer {
    let error = chain(&**error);
    let (stream, key) = (timer.stream_id.as_str(), &timer.key);
    tracing::warn!(stream, key, error, wait = ?wait, "a timer failed; it is retried");
    Timer {
        attempts: timer.attempts.saturating_add(1),
        next_at: now + wait,
        error: Some(error),
        ..timer.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use tokio::time::Instant;

    use super::*;
    use crate::reactor::{Effect, EffectId, Interrupted, Settings, TimerChange};
    use crate::worker::batch::Batch;

    /// A ledger in whose database another worker has fired each timer just now, and set the next one.
    struct FiredElsewhere;

    impl Ledger for FiredElsewhere {
        fn begin<'a>(&'a self, _: &'a EffectId) -> BoxFuture<'a, Result<(Effect, Instant), Unrecorded>> {
            unreachable!("nothing fires")
        }
        fn end<'a>(&'a self, _: &'a EffectId, _: Ended) -> BoxFuture<'a, Result<(), Unrecorded>> {
            unreachable!("nothing fires")
        }
        fn change_timer<'a>(
            &'a self,
            _: &'a EffectId,
            _: TimerChange,
        ) -> BoxFuture<'a, Result<Effect, Unrecorded>> {
            unreachable!("nothing fires")
        }
        fn begin_firing<'a>(&'a self, _: &'a Timer) -> BoxFuture<'a, Result<Option<Effect>, Unrecorded>> {
            async { Ok(None) }.boxed()
        }
        fn end_firing<'a>(
            &'a self,
            _: &'a Timer,
            _: Ended,
            _: Option<Timer>,
        ) -> BoxFuture<'a, Result<(), Unrecorded>> {
            unreachable!("nothing fires")
        }
        fn now(&self) -> Timestamp {
            Timestamp::now()
        }
        fn timeout(&self) -> Duration {
            Duration::from_secs(1)
        }
    }

    struct NeverFires(Settings);

    impl Effects for NeverFires {
        fn react<'a>(
            &'a self,
            _: &'a Batch,
            _: &'a [usize],
            _: &'a dyn Ledger,
        ) -> BoxFuture<'a, Result<(), Interrupted>> {
            unreachable!("nothing fires")
        }
        fn fire<'a>(
            &'a self,
            _: &'a Timer,
            _: &'a dyn Ledger,
        ) -> BoxFuture<'a, Result<Option<Timer>, BoxError>> {
            unreachable!("nothing fires")
        }
        fn settings(&self) -> &Settings {
            &self.0
        }
        fn is_transient(&self, _: &(dyn std::error::Error + 'static)) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn a_timer_that_another_worker_has_fired_is_read_again() {
        let timer = Timer {
            stream_id: "a".parse().unwrap(),
            key: "k".to_owned(),
            id: "0".to_owned(),
            due: Timestamp::from_micros(1),
            payload: Json::parse("null").unwrap(),
            changeset_id: 1.into(),
            event_id: 1.into(),
            set_at: Timestamp::from_micros(0),
            attempts: 0,
            next_at: Timestamp::from_micros(1),
            error: None,
        };
        let all_fired = fire(&NeverFires(Settings::default()), vec![timer], &FiredElsewhere).await;
        assert!(!all_fired, "the worker would believe that it knows what is set now");
    }
}
