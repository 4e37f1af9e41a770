//! What a reactor's code runs its effects in: an event, or the firing of a timer.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp, TraceContext};
use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::ledger::Ledger;
use super::timer::{Timer, TimerChange};
use super::{EffectId, EffectState, Ended, PermanentError};
use crate::error::{BoxError, chain, panicked};
use crate::spans;

/// The longest name of an effect, and the longest key of a timer, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// The longest result of an effect, and the longest payload of a timer, in bytes of JSON.
const RESULT_BYTES_MAX: usize = 16 * 1024;
/// How the ledger's names of what timers do begin.
const RESERVED: &str = "timer:";

/// An event or a firing, and the ledger of its reactor.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    pub(super) reactor: &'a str,
    pub(super) ledger: &'a dyn Ledger,
    pub(super) stream_id: &'a StreamId,
    pub(super) changeset_id: ChangesetId,
    pub(super) event_id: EventId,
    /// What the names of its effects begin with in the ledger. Empty for an event.
    pub(super) prefix: String,
    pub(super) trace: Option<&'a TraceContext>,
}

impl Scope<'_> {
    pub(super) fn key(&self, effect: &str) -> String {
        key_of(self.reactor, &self.id_of(effect))
    }

    pub(super) async fn effect<T, F, Fut, Error>(&self, name: &str, act: F) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, Error>> + Send,
        Error: Into<BoxError>,
    {
        check("effect name", name)?;
        if name.starts_with(RESERVED) {
            let reason =
                format!("invalid effect name {name:?}: names that begin with {RESERVED} are for timers");
            return Err(PermanentError::because(reason).into());
        }
        let id = self.id_of(name);
        let (begun, deadline) = self.ledger.begin(&id).await?;
        if begun.state == EffectState::Done {
            return read(name, begun.result.as_ref());
        }
        let span = spans::effect(self.trace, self.reactor, name);
        let acting = async move { act().await.map_err(|error| -> BoxError { error.into() }) };
        // Boxed: it may be large, and would be in this future more than once.
        let acting = AssertUnwindSafe(acting).catch_unwind().boxed();
        let acted: Result<T, BoxError> = match until(deadline, span.run(acting)).await {
            Some(Ok(acted)) => acted,
            Some(Err(panic)) => Err(panicked(&format!("effect {name}"), &*panic)),
            None => Err(format!("effect {name}: not done after {:?}", self.ledger.timeout()).into()),
        };
        let ended = acted.and_then(|result| Ok((written(name, &result)?, result)));
        let (state, result, error) = match &ended {
            Ok((json, _)) => (EffectState::Done, Some(json.clone()), None),
            Err(error) => {
                let why = chain(&**error);
                span.fail("failed", &why);
                (EffectState::Failed, None, Some(why))
            }
        };
        span.end();
        let attempt = begun.attempts;
        self.ledger.end(&id, Ended { attempt, at: Timestamp::now(), state, error, result }).await?;
        ended.map(|(_, result)| result)
    }

    pub(super) async fn at(
        &self,
        due: Timestamp,
        key: &str,
        payload: &impl Serialize,
    ) -> Result<(), BoxError> {
        let (id, timer) = self.timer(due, key, payload)?;
        self.ledger.change_timer(&id, TimerChange::Set(Box::new(timer))).await?;
        Ok(())
    }

    /// Returns a timer of the stream, and the effect that sets it.
    pub(super) fn timer(
        &self,
        due: Timestamp,
        key: &str,
        payload: &impl Serialize,
    ) -> Result<(EffectId, Timer), BoxError> {
        check("timer key", key)?;
        let payload = Json::of(payload).map_err(|e| {
            PermanentError::because(format!("timer {key}: its payload can't be written as JSON: {e}"))
        })?;
        if payload.as_str().len() > RESULT_BYTES_MAX {
            let reason = format!("timer {key}: its payload is longer than {RESULT_BYTES_MAX} bytes");
            return Err(PermanentError::because(reason).into());
        }
        let id = self.id_of(&format!("{RESERVED}set:{key}"));
        let timer = Timer {
            stream_id: self.stream_id.clone(),
            key: key.to_owned(),
            // Each event and each firing sets a timer of its own. Their effects must not meet in the ledger.
            id: key_of(self.reactor, &id).chars().take(16).collect(),
            due,
            payload,
            changeset_id: self.changeset_id,
            event_id: self.event_id,
            set_at: self.ledger.now(),
            attempts: 0,
            next_at: due,
            error: None,
        };
        Ok((id, timer))
    }

    pub(super) async fn cancel(&self, key: &str) -> Result<bool, BoxError> {
        check("timer key", key)?;
        let id = self.id_of(&format!("{RESERVED}cancel:{key}"));
        let cancelled = self.ledger.change_timer(&id, TimerChange::Cancel(key.to_owned())).await?;
        read(&id.effect, cancelled.result.as_ref())
    }

    fn id_of(&self, effect: &str) -> EffectId {
        EffectId {
            stream_id: self.stream_id.clone(),
            changeset_id: self.changeset_id,
            event_id: self.event_id,
            effect: format!("{}{effect}", self.prefix),
        }
    }
}

/// Runs an attempt until its time is over, and not one step further: a process that was frozen must not go on with
/// what another one may have begun anew. (`tokio::time::timeout` would take that step.)
async fn until<F: Future>(deadline: Instant, attempt: F) -> Option<F::Output> {
    let (mut attempt, mut over) = (pin!(attempt), pin!(tokio::time::sleep_until(deadline)));
    poll_fn(|context| match Instant::now() >= deadline || over.as_mut().poll(context).is_ready() {
        true => Poll::Ready(None),
        false => attempt.as_mut().poll(context).map(Some),
    })
    .await
}

fn check(what: &str, name: &str) -> Result<(), PermanentError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
        let reason =
            format!("invalid {what} {name:?}: use 1 to {NAME_BYTES_MAX} bytes without control characters");
        return Err(PermanentError::because(reason));
    }
    Ok(())
}

pub(super) fn key_of(reactor: &str, id: &EffectId) -> String {
    let mut hash = Sha256::new();
    for name in [reactor, id.stream_id.as_str(), &id.effect] {
        // The length first: otherwise "a" and "bc" would hash like "ab" and "c".
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
    }
    hash.update(id.changeset_id.get().to_be_bytes());
    hash.update(id.event_id.get().to_be_bytes());
    hex::encode(hash.finalize())
}

/// Serializes the result for the ledger. A result that can't be stored is not retried: that would repeat the
/// effect.
fn written<T: Serialize>(name: &str, result: &T) -> Result<Json, BoxError> {
    let json = Json::of(result).map_err(|e| {
        PermanentError::because(format!("effect {name}: done, but its result can't be written as JSON: {e}"))
    })?;
    if json.as_str().len() > RESULT_BYTES_MAX {
        let reason = format!("effect {name}: done, but its result is longer than {RESULT_BYTES_MAX} bytes");
        return Err(PermanentError::because(reason).into());
    }
    Ok(json)
}

fn read<T: DeserializeOwned>(name: &str, result: Option<&Json>) -> Result<T, BoxError> {
    let text = result.map_or("null", Json::as_str);
    serde_json::from_str(text)
        .map_err(|e| format!("effect {name}: its recorded result can't be read: {e}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(reactor: &str, stream: &str, changeset: u64, event: u64, effect: &str) -> String {
        let id = EffectId {
            stream_id: stream.parse().unwrap(),
            changeset_id: changeset.into(),
            event_id: event.into(),
            effect: effect.to_owned(),
        };
        key_of(reactor, &id)
    }

    #[test]
    fn a_key_stays_the_same_and_belongs_to_one_effect() {
        let one = key("mails", "a", 1, 1, "welcome");
        assert_eq!(one, key("mails", "a", 1, 1, "welcome"));
        assert_eq!(one.len(), 64);
        for other in [
            key("mail", "sa", 1, 1, "welcome"),
            key("mails", "aw", 1, 1, "elcome"),
            key("mails", "a", 2, 1, "welcome"),
            key("mails", "a", 1, 2, "welcome"),
            key("mails", "a", 1, 1, "goodbye"),
        ] {
            assert_ne!(one, other);
        }
    }
}
