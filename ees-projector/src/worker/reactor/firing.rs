//! Fires timers: lets a reactor act on them and records it.

use std::collections::BTreeMap;
use std::time::Duration;

use ees_store::{Json, StreamId, Timestamp};
use futures::{StreamExt, stream};

use crate::error::{BoxError, chain, is_caused_by};
use crate::reactor::{EffectState, Ended, Ledger, Timer, Unrecorded};
use crate::worker::reactor::effects::Effects;

/// Fires timers, several streams at once as the reactor's settings say. Begins no more of them once the ledger
/// can't be written. Safe to drop: what the ledger does not have as done is fired again.
pub(crate) async fn fire(effects: &dyn Effects, timers: Vec<Timer>, ledger: &dyn Ledger) {
    let mut streams: BTreeMap<StreamId, Vec<Timer>> = BTreeMap::new();
    for timer in timers {
        streams.entry(timer.stream_id.clone()).or_default().push(timer);
    }
    let fire_stream = |timers: Vec<Timer>| async move {
        for timer in timers {
            if fire_one(effects, timer, ledger).await.is_err() {
                break;
            }
        }
    };
    let at_once = effects.settings().streams_at_once.max(1);
    stream::iter(streams.into_values()).for_each_concurrent(at_once, fire_stream).await;
}

async fn fire_one(effects: &dyn Effects, mut timer: Timer, ledger: &dyn Ledger) -> Result<(), Unrecorded> {
    // Cancelled, or set to another time, by a timer that fired before it.
    let Some(begun) = ledger.begin_firing(&timer).await? else { return Ok(()) };
    let fired = match begun.state {
        EffectState::Done => Ok(()),
        _ => effects.fire(&timer, ledger).await,
    };
    let ended = match fired {
        Ok(()) => {
            let result = Json::of(&()).ok();
            Ended { at: Timestamp::now(), state: EffectState::Done, error: None, result }
        }
        Err(error) if is_caused_by::<Unrecorded>(&*error) => return Err(Unrecorded),
        Err(error) => {
            let wait = effects.retry_after(&error, timer.attempts.saturating_add(1));
            postpone(&mut timer, &error, wait, ledger.now());
            let error = timer.error.clone();
            Ended { at: Timestamp::now(), state: EffectState::Failed, error, result: None }
        }
    };
    ledger.end_firing(&timer, ended).await
}

/// Lets a timer wait after a failure.
fn postpone(timer: &mut Timer, error: &BoxError, wait: Duration, now: Timestamp) {
    timer.attempts = timer.attempts.saturating_add(1);
    timer.error = Some(chain(&**error));
    timer.next_at = now + wait;
    let (stream, key, error) = (timer.stream_id.as_str(), &timer.key, &timer.error);
    tracing::warn!(stream, key, error, wait = ?wait, "a timer failed; it is retried");
}
