//! What a reactor is given: an event, and names for what is done because of it.

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

/// The longest name of an effect, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// The longest result of an effect, in bytes of JSON.
const RESULT_BYTES_MAX: usize = 16 * 1024;

/// An event that calls for something, with all that is known of it ([`Recorded`]).
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

// Derived, they would ask for `E: Clone`.
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

    /// The name of the reactor.
    pub fn reactor(&self) -> &'a str {
        self.reactor
    }

    /// The idempotency key of one effect of this event: the same in every repetition, and no other reactor, stream,
    /// changeset, event or effect has it. `effect` tells the effects of one event apart, such as `"mail"`.
    ///
    /// 64 hexadecimal digits: the SHA-256 of all five. Fit for an `Idempotency-Key`.
    pub fn key(&self, effect: &str) -> String {
        key_of(self.reactor, &self.id_of(effect))
    }

    /// Does something under a name, and records it: that it was begun, before; and how it ended, with its result, after.
    ///
    /// What the ledger has as done is not done again, however often the event comes: the recorded result is given
    /// instead. A crash repeats what was begun and had not ended, and the ledger shows it: more than one attempt. Give
    /// [`key`](Self::key) to whoever can tell the two apart.
    ///
    /// It is dropped after [`Settings::effect_timeout`](super::Settings::effect_timeout), and has failed then. The result
    /// is kept as JSON, of 16 KiB at most: an id, an answer in a few words, or `()`. An effect's name is short (100 bytes
    /// at most) and stays the same: under another one it is another effect.
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
    /// What it failed with, that it took too long or panicked, or that the ledger could not be written. Pass it on:
    /// whatever it is, the event comes again. [`PermanentError`] and [`RetryAfter`](super::RetryAfter) say when.
    pub async fn effect<T, F, Fut, Error>(&self, name: &str, act: F) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, Error>> + Send,
        Error: Into<BoxError>,
    {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            let told =
                format!("{name:?} can't name an effect: 1 to {NAME_BYTES_MAX} bytes, no control characters");
            return Err(PermanentError::because(told).into());
        }
        let id = self.id_of(name);
        let begun = self.ledger.begin(&id).await?;
        if begun.state == EffectState::Done {
            return read(name, begun.result.as_ref());
        }
        let acting =
            AssertUnwindSafe(async move { act().await.map_err(|error| -> BoxError { error.into() }) })
                .catch_unwind();
        let timeout = self.ledger.timeout();
        let acted: Result<T, BoxError> = match tokio::time::timeout(timeout, acting).await {
            Ok(Ok(acted)) => acted,
            Ok(Err(panic)) => Err(panicked(&format!("{name}: it"), &*panic)),
            Err(_) => Err(format!("{name}: not done after {timeout:?}").into()),
        };
        let ended = acted.and_then(|result| Ok((written(name, &result)?, result)));
        let (state, result, error) = match &ended {
            Ok((json, _)) => (EffectState::Done, Some(json.clone()), None),
            Err(error) => (EffectState::Failed, None, Some(chain(&**error))),
        };
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
        // The length first: "a" and "bc" are not "ab" and "c".
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
    }
    hash.update(id.changeset_id.get().to_be_bytes());
    hash.update(id.event_id.get().to_be_bytes());
    hex::encode(hash.finalize())
}

/// What an effect gave, as the ledger keeps it. What it can't keep is not tried again: that would do it once more.
fn written<T: Serialize>(name: &str, result: &T) -> Result<Json, BoxError> {
    let json = Json::of(result)
        .map_err(|e| PermanentError::because(format!("{name}: done, but its result: {e}")))?;
    if json.as_str().len() > RESULT_BYTES_MAX {
        let told = format!("{name}: done, but its result is longer than {RESULT_BYTES_MAX} bytes");
        return Err(PermanentError::because(told).into());
    }
    Ok(json)
}

fn read<T: DeserializeOwned>(name: &str, result: Option<&Json>) -> Result<T, BoxError> {
    let text = result.map_or("null", Json::as_str);
    serde_json::from_str(text)
        .map_err(|e| format!("{name}: done before, and its result can't be read: {e}").into())
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
