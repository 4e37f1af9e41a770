//! Reactors: code that acts outside of read models because of an event, such as a mail, a webhook or a
//! command.

mod cause;
mod effect;
mod error;
mod firing;
mod ledger;
mod scope;
mod settings;
mod timer;

pub mod process_manager;
#[cfg(feature = "sns")]
pub mod publisher;
#[cfg(feature = "webhook")]
pub mod webhook;

use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde::de::DeserializeOwned;

use crate::error::{BoxError, panicked};
use crate::subscription::Subscription;

pub use cause::Cause;
pub use effect::{Effect, EffectId, EffectQuery, EffectState, Ended, UnknownState};
pub use error::{PermanentError, RetryAfter, Unfinished};
pub use firing::Firing;
pub(crate) use firing::NextTimer;
pub(crate) use ledger::{Ledger, Unrecorded};
pub(crate) use settings::with_jitter;
pub use settings::{Settings, Start};
pub(crate) use timer::TimerChange;
pub use timer::{Timer, TimerPlace, TimerQuery};

/// Code that acts outside of a read model because of an event: it sends a mail, calls a webhook, commits to
/// another stream.
///
/// For rows in a database, choose a [`Fold`](crate::Fold) or a [`Projection`](crate::Projection): they change
/// each row exactly once. No transaction covers what a reactor does, so it happens *at least* once.
///
/// # Guarantees
/// - Events arrive in the order of their stream. With one stream at a time, which is the
///   [default](Settings::streams_at_once), they arrive in the order of the log.
/// - At least once: the checkpoint moves after [`react`](Self::react) has returned. An
///   [effect](Cause::effect) is also recorded in the ledger, beside the checkpoint. So a crash repeats only
///   the effects that were in progress, and the ledger shows it. Without effects, a crash repeats up to
///   [`Settings::batch_changesets_max`] changesets. Pass [`Cause::key`] to receivers that can recognize a
///   repetition.
/// - A new reactor starts at the end of the log by default ([`Settings::start`]): it does not act on history.
/// - It is never replayed. A reactor has another type than a projection, so code that builds read models does
///   not accept it, and [`Handle::rebuild`](crate::Handle::rebuild) refuses it.
///
/// # Failures
/// A failing event parks its own stream and nothing else: its changeset and all later ones of the stream wait
/// in order, and the other streams go on. The worker retries the stream with the delays of
/// [`Settings::parking`], for [`Settings::give_up_after`]. Then the stream is given up: the status says so,
/// and an operator retries it ([`Handle::retry_parked`](crate::Handle::retry_parked)) or discards the
/// changeset's effects ([`Handle::discard_effects`](crate::Handle::discard_effects)).
///
/// ```
/// use std::sync::Arc;
/// use ees_projector::{BoxError, Projector, memory, reactor::{self, Cause, Reactor}};
///
/// #[derive(serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum AccountEvent { Closed { owner: String } }
///
/// struct Farewell;
///
/// impl Reactor for Farewell {
///     type Event = AccountEvent;
///
///     fn name(&self) -> &str {
///         "farewell"
///     }
///     async fn react(&self, cause: Cause<'_, AccountEvent>) -> Result<(), BoxError> {
///         let AccountEvent::Closed { owner } = cause.event;
///         cause.effect("mail", async || mail(owner, &cause.key("mail")).await).await
///     }
/// }
///
/// async fn mail(to: &str, key: &str) -> Result<(), BoxError> {
///     println!("mail to {to}, and not twice under {key}");
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = Arc::new(ees_store::memory::Store::new());
/// let mut projector = Projector::new(log);
/// projector.reactor(Farewell, memory::Database::new(), reactor::Settings::default())?;
/// projector.start().shut_down().await;
/// # Ok(())
/// # }
/// ```
///
/// A reactor is not a projection:
///
/// ```compile_fail,E0277
/// # use std::sync::Arc;
/// # use ees_projector::{BoxError, Projector, Settings, memory, reactor::{Cause, Reactor}};
/// # struct Farewell;
/// # impl Reactor for Farewell {
/// #     type Event = serde::de::IgnoredAny;
/// #     fn name(&self) -> &str { "farewell" }
/// #     async fn react(&self, _: Cause<'_, serde::de::IgnoredAny>) -> Result<(), BoxError> { Ok(()) }
/// # }
/// # let mut projector = Projector::new(Arc::new(ees_store::memory::Store::new()));
/// projector.projection(Farewell, memory::Database::new(), Settings::default());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reactor",
    note = "implement `Reactor` for it; pass a `Projection` to `Projector::projection`, a `Fold` to `Projector::fold`"
)]
pub trait Reactor: Send + Sync + 'static {
    /// The type of its events. See [`Projection::Event`](crate::Projection::Event).
    type Event: DeserializeOwned + Send + Sync + 'static;

    /// Returns the name. It must never change, and no projection may have it. Lower-case letters, digits and
    /// `_`, at most 48, starting with a letter.
    fn name(&self) -> &str;

    /// Returns which changesets it wants, and how it reads their events. Called once. Default: all
    /// changesets.
    fn subscription(&self) -> Subscription {
        Subscription::default()
    }

    /// Acts on an event.
    ///
    /// # Errors
    /// Any error parks the event's stream and is retried. [`PermanentError`] gives the stream up at once;
    /// [`RetryAfter`] sets the earliest next attempt.
    ///
    /// # Cancellation
    /// The future is dropped at any `.await` when the process ends or another worker takes over. It is called
    /// again then.
    fn react(&self, cause: Cause<'_, Self::Event>) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Acts on several events, in order. Override it only if you know a faster way that keeps the order
    /// within each stream. Default: calls [`react`](Self::react) for each event.
    ///
    /// # Errors
    /// [`Interrupted`] says how many events are done. Those are not repeated.
    fn react_batch(
        &self,
        causes: &[Cause<'_, Self::Event>],
    ) -> impl Future<Output = Result<(), Interrupted>> + Send {
        async move {
            for (done, cause) in causes.iter().enumerate() {
                // Caught here, so that only this event is blamed.
                let reacted = AssertUnwindSafe(self.react(*cause)).catch_unwind().await;
                let reacted = reacted.unwrap_or_else(|panic| Err(panicked("the reactor", &*panic)));
                reacted.map_err(|error| Interrupted { done, error })?;
            }
            Ok(())
        }
    }

    /// Acts on a timer that is due: one that [`Cause::at`] or [`Firing::at`] has set. It arrives in the turn of
    /// its stream, when the reactor has acted on everything that the log had before. While the stream is parked,
    /// its timers wait.
    ///
    /// # Errors
    /// Any error is retried with the delays of [`Settings::parking`], without an end. The stream's events go on
    /// meanwhile and may cancel the timer. [`PermanentError`] chooses the longest delay, [`RetryAfter`] at least
    /// its own. Default: a [`PermanentError`], because a reactor that sets timers must act on them.
    ///
    /// # Cancellation
    /// As for [`react`](Self::react).
    fn on_timer(&self, firing: Firing<'_>) -> impl Future<Output = Result<(), BoxError>> + Send {
        let reason =
            format!("the reactor has no `on_timer`, and can't act on timer {:?}", firing.timer().key);
        async move { Err(PermanentError::because(reason).into()) }
    }

    /// Returns `true` if everything that [`react`](Self::react) does outside of its own memory is in
    /// [effects](Cause::effect) and timers. Only then can it be [previewed](crate::Projector::preview): a preview calls
    /// `react` and does no effect, but what is done beside effects, it can't hold back. Default: `false`.
    fn acts_in_effects_only(&self) -> bool {
        false
    }

    /// Returns `true` for errors that concern all streams alike and pass by themselves, such as an outage of
    /// the one service that it calls. Such an error stops the whole reactor and is retried for ever. Default:
    /// `false`, so that each failing stream is parked by itself and the others go on.
    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool {
        let _ = error;
        false
    }
}

/// A batch that was not completed.
#[derive(Debug)]
pub struct Interrupted {
    /// The number of events at the start of the batch that are done.
    pub done: usize,
    /// Why the next event is not done.
    pub error: BoxError,
}
