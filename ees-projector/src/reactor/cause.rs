//! The event that a reactor is given, and the effects that it has because of it.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;

use ees_store::{Json, Timestamp};
use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::ledger::Ledger;
use super::{EffectId, EffectState, Ended, PermanentError};
use crate::error::{BoxError, chain, panicked};
use crate::event::Recorded;
use crate::spans;

/// The longest name of an effect, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// The longest result of an effect, in bytes of JSON.
const RESULT_BYTES_MAX: usize = 16 * 1024;

/// The event that a reactor is given, with its stream, its checkpoint and its changeset ([`Recorded`]).
pub struct Cause<'a, E> {
    recorded: Recorded<'a, E>,
    reactor: &'a str,
    ledger: &'a dyn Ledger,
}

impl<E: fmt::Debug> fmt::Debug for Cause<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cause").field("recorded", &self.recorded).field("reactor", &self.reactor).finish()
    }
}

// Derived, these would require `E: Clone`.
impl<E> Clone for Cause<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for Cause<'_, E> {}

impl<'a, E> Deref for Cause<'a, E> {
    type Target = Recorded<'a, E>;
    fn deref(&self) -> &Recorded<'a, E> {
        &self.recorded
    }
}

impl<'a, E> Cause<'a, E> {
    pub(crate) fn new(recorded: Recorded<'a, E>, reactor: &'a str, ledger: &'a dyn Ledger) -> Self {
        Self { recorded, reactor, ledger }
    }

    /// Returns the name of the reactor.
    pub fn reactor(&self) -> &'a str {
        self.reactor
    }

    /// Returns the idempotency key of one effect of this event. It is the same in every repetition, and no
    /// other reactor, stream, changeset, event or effect has it. `effect` names the effect, such as `"mail"`.
    ///
    /// 64 hexadecimal digits: the SHA-256 of these five. It can be sent as `Idempotency-Key`.
    pub fn key(&self, effect: &str) -> String {
        key_of(self.reactor, &self.id_of(effect))
    }

    /// Runs an effect and records it in the ledger: its start before, its end and its result after.
    ///
    /// An effect that the ledger has as done does not run again, however often the event arrives: the
    /// recorded result is returned instead. A crash repeats an effect that was in progress, and the ledger
    /// then shows more than one attempt. Pass [`key`](Self::key) to receivers that can recognize the
    /// repetition.
    ///
    /// An attempt fails after [`Settings::effect_timeout`](super::Settings::effect_timeout), and its future
    /// is dropped. The result is stored as JSON of at most 16 KiB: an id, a short answer, or `()`. The name
    /// is at most 100 bytes and must not change: another name is another effect.
    ///
    /// ```
    /// # use ees_projector::{BoxError, reactor::Cause};
    /// # async fn send(to: &str, key: &str) -> Result<String, BoxError> { Ok(String::new()) }
    /// # async fn react(cause: Cause<'_, String>) -> Result<(), BoxError> {
    /// let letter: String = cause.effect("mail", async || send(cause.event, &cause.key("mail")).await).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the error of `act`, a time-out, a panic, or a failure to write the ledger. Return it from
    /// [`react`](super::Reactor::react): the event arrives again. [`PermanentError`] and
    /// [`RetryAfter`](super::RetryAfter) say when.
    pub async fn effect<T, F, Fut, Error>(&self, name: &str, act: F) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, Error>> + Send,
        Error: Into<BoxError>,
    {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            let reason = format!(
                "invalid effect name {name:?}: use 1 to {NAME_BYTES_MAX} bytes without control characters"
            );
            return Err(PermanentError::because(reason).into());
        }
        let id = self.id_of(name);
        let begun = self.ledger.begin(&id).await?;
        if begun.state == EffectState::Done {
            return read(name, begun.result.as_ref());
        }
        let span = spans::effect(self.trace(), self.reactor, name);
        let acting =
            AssertUnwindSafe(async move { act().await.map_err(|error| -> BoxError { error.into() }) })
                .catch_unwind();
        let timeout = self.ledger.timeout();
        let acted: Result<T, BoxError> = match tokio::time::timeout(timeout, span.run(acting)).await {
            Ok(Ok(acted)) => acted,
            Ok(Err(panic)) => Err(panicked(&format!("effect {name}"), &*panic)),
            Err(_) => Err(format!("effect {name}: not done after {timeout:?}").into()),
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
        self.ledger.end(&id, Ended { at: Timestamp::now(), state, error, result }).await?;
        ended.map(|(_, result)| result)
    }

    fn id_of(&self, effect: &str) -> EffectId {
        EffectId {
            stream_id: self.stream_id().clone(),
            changeset_id: self.changeset_id(),
            event_id: self.recorded.event_id,
            effect: effect.to_owned(),
        }
    }
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
