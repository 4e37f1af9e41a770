//! A timer that is due, as a reactor is given it.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use ees_store::{StreamId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PermanentError;
use super::ledger::Ledger;
use super::scope::Scope;
use super::timer::Timer;
use crate::error::BoxError;

/// A timer that is due, and the effects that a reactor has because of it.
///
/// Effects and timers of a firing are recorded as those of an event are ([`Cause`](super::Cause)). They belong
/// to this timer alone: when another one with the same key fires later, its effects are others.
#[derive(Clone)]
pub struct Firing<'a> {
    timer: &'a Timer,
    scope: Scope<'a>,
    next: NextTimer,
}

/// The timer that a firing sets under its own key. It takes the place of the one that fires in the transaction that
/// records the firing as done: earlier, the firing could not be repeated after a failure.
pub(crate) type NextTimer = Arc<Mutex<Option<Timer>>>;

impl fmt::Debug for Firing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firing").field("timer", &self.timer).field("reactor", &self.reactor()).finish()
    }
}

impl<'a> Firing<'a> {
    pub(crate) fn new(timer: &'a Timer, reactor: &'a str, ledger: &'a dyn Ledger, next: NextTimer) -> Self {
        let scope = Scope {
            reactor,
            ledger,
            stream_id: &timer.stream_id,
            changeset_id: timer.changeset_id,
            event_id: timer.event_id,
            prefix: format!("{}/", timer.firing().effect),
            trace: None,
        };
        Self { timer, scope, next }
    }

    /// Returns the timer: its key, when it was due, the event that set it.
    pub fn timer(&self) -> &'a Timer {
        self.timer
    }

    /// Returns the stream of the timer.
    pub fn stream_id(&self) -> &'a StreamId {
        &self.timer.stream_id
    }

    /// Returns the name of the reactor.
    pub fn reactor(&self) -> &'a str {
        self.scope.reactor
    }

    /// Returns the time by the worker's clock, which tests move ([`Clock`](crate::Clock)).
    pub fn now(&self) -> Timestamp {
        self.scope.ledger.now()
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// Returns a [`PermanentError`] if it is of another form.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        serde_json::from_str(self.timer.payload.as_str()).map_err(|e| {
            let reason = format!("timer {:?}: its payload can't be read: {e}", self.timer.key);
            PermanentError::because(reason).into()
        })
    }

    /// Returns the idempotency key of one effect of this firing. See [`Cause::key`](super::Cause::key).
    pub fn key(&self, effect: &str) -> String {
        self.scope.key(effect)
    }

    /// Runs an effect and records it in the ledger. See [`Cause::effect`](super::Cause::effect).
    ///
    /// # Errors
    /// As [`Cause::effect`](super::Cause::effect). Return it from [`on_timer`](super::Reactor::on_timer).
    pub async fn effect<T, F, Fut, Error>(&self, name: &str, act: F) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, Error>> + Send,
        Error: Into<BoxError>,
    {
        self.scope.effect(name, act).await
    }

    /// Sets a timer of the same stream. One with the key of this timer is the next of a series: it is set when this
    /// firing is done, and not if it fails. See [`Cause::at`](super::Cause::at).
    ///
    /// # Errors
    /// As [`Cause::at`](super::Cause::at). Return it from [`on_timer`](super::Reactor::on_timer).
    pub async fn at(
        &self,
        due: Timestamp,
        key: &str,
        payload: &(impl Serialize + Sync),
    ) -> Result<(), BoxError> {
        if key == self.timer.key {
            let (_, next) = self.scope.timer(due, key, payload)?;
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
            return Ok(());
        }
        self.scope.at(due, key, payload).await
    }

    /// Cancels another timer of the same stream. See [`Cause::cancel`](super::Cause::cancel). This timer ends by
    /// firing, whatever is cancelled: with its own key, the next one is cancelled that this firing has set.
    ///
    /// # Errors
    /// As [`Cause::cancel`](super::Cause::cancel). Return it from [`on_timer`](super::Reactor::on_timer).
    pub async fn cancel(&self, key: &str) -> Result<bool, BoxError> {
        if key == self.timer.key {
            return Ok(self.next.lock().unwrap_or_else(PoisonError::into_inner).take().is_some());
        }
        self.scope.cancel(key).await
    }
}
