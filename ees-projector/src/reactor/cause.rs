//! The event that a reactor is given, and the effects that it has because of it.

use std::fmt;
use std::future::Future;
use std::ops::Deref;

use ees_store::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ledger::Ledger;
use super::scope::Scope;
use crate::error::BoxError;
use crate::event::Recorded;

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
        self.scope().key(effect)
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
    /// [`react`](super::Reactor::react): the event arrives again. [`PermanentError`](super::PermanentError) and
    /// [`RetryAfter`](super::RetryAfter) say when.
    pub async fn effect<T, F, Fut, Error>(&self, name: &str, act: F) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, Error>> + Send,
        Error: Into<BoxError>,
    {
        self.scope().effect(name, act).await
    }

    /// Sets a timer of the event's stream: at `due`, or soon after, [`Reactor::on_timer`] is called with the
    /// payload. It is called again after a failure or a crash, so act in [effects](super::Firing::effect): what is
    /// done is not repeated. A timer that the stream has under this key is replaced.
    ///
    /// It is set in the transaction that records it in the ledger, so it is not set again when the event
    /// arrives again. For the same reason an event sets a timer with a key once, and cancels it once: a second
    /// call for the same key does nothing. Without a failure or a crash, the event's
    /// [`timestamp`](Recorded::timestamp) is a good time to count from.
    ///
    /// The key is at most 100 bytes. The payload is stored as JSON of at most 16 KiB.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ees_projector::{BoxError, reactor::Cause};
    /// # async fn react(cause: Cause<'_, String>) -> Result<(), BoxError> {
    /// cause.at(cause.timestamp() + Duration::from_secs(30 * 60), "unpaid", &cause.event).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error for an invalid key or payload, or a failure to write the ledger. Return it from
    /// [`react`](super::Reactor::react).
    ///
    /// [`Reactor::on_timer`]: super::Reactor::on_timer
    pub async fn at(
        &self,
        due: Timestamp,
        key: &str,
        payload: &(impl Serialize + Sync),
    ) -> Result<(), BoxError> {
        self.scope().at(due, key, payload).await
    }

    /// Cancels the timer of the event's stream with this key. Returns `false` if there is none: it has fired, was
    /// cancelled, or was never set. It is recorded in the ledger like [`at`](Self::at), and the answer with it.
    ///
    /// # Errors
    /// Returns an error for an invalid key or a failure to write the ledger. Return it from
    /// [`react`](super::Reactor::react).
    pub async fn cancel(&self, key: &str) -> Result<bool, BoxError> {
        self.scope().cancel(key).await
    }

    fn scope(&self) -> Scope<'a> {
        Scope {
            reactor: self.reactor,
            ledger: self.ledger,
            stream_id: self.recorded.stream_id(),
            changeset_id: self.changeset_id(),
            event_id: self.recorded.event_id,
            prefix: String::new(),
            trace: self.recorded.trace(),
        }
    }
}
