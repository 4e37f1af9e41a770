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
/// can't be written, or after [`FIRING_MAX`]. Returns `true` if all have fired. Safe to drop: what the ledger does
/// not have as done is fired again.
pub(crate) async fn fire(effects: &dyn Effects, timers: Vec<Timer>, ledger: &dyn Ledger) -> bool {
    let (began, is_cut) = (Instant::now(), AtomicBool::new(false));
    let mut streams: BTreeMap<StreamId, Vec<Timer>> = BTreeMap::new();
    for timer in timers {
        streams.entry(timer.stream_id.clone()).or_default().push(timer);
    }
    let fire_stream = async |timers: Vec<Timer>| {
        for timer in timers {
            if began.elapsed() > FIRING_MAX || fire_one(effects, timer, ledger).await.is_err() {
                is_cut.store(true, SeqCst);
                break;
            }
        }
    };
    let at_once = effects.settings().streams_at_once.max(1);
    stream::iter(streams.into_values()).for_each_concurrent(at_once, fire_stream).await;
    !is_cut.into_inner()
}

async fn fire_one(effects: &dyn Effects, timer: Timer, ledger: &dyn Ledger) -> Result<(), Unrecorded> {
    // Cancelled, or set to another time, by a timer that fired before it.
    let Some(begun) = ledger.begin_firing(&timer).await? else { return Ok(()) };
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
    ledger.end_firing(&timer, ended, left).await
}

/// Returns the timer as it waits after a failure.
fn postponed(timer: &Timer, error: &BoxError, wait: Duration, now: Timestamp) -> Timer {
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
