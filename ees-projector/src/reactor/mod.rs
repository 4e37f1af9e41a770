//! What happens outside of the read models once an event is there: a message, a webhook, a command to another stream.

mod cause;
mod effect;
mod error;
mod ledger;
mod settings;

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
pub(crate) use ledger::{Ledger, Unrecorded};
pub use settings::{Settings, Start};

/// Something that is done when an event is there, and that no transaction can take back: it reacts to what happens, and
/// keeps no read model.
///
/// For rows in a database take a [`Fold`](crate::Fold) or a [`Projection`](crate::Projection): those change each row
/// exactly once. What a reactor does is outside of any transaction, and so it is done *at least* once.
///
/// Guarantees:
/// - Events come in the order of their stream, and with one stream at a time, as unless
///   [set](Settings::streams_at_once), in the order of the log.
/// - At least once: the checkpoint moves after [`react`](Self::react) came back. What is done as an
///   [effect](Cause::effect) is recorded in a ledger beside the checkpoint, so that a crash repeats what was in flight and
///   nothing else, and the ledger shows it; without, it repeats up to [`Settings::batch_changesets_max`] changesets. Give
///   [`Cause::key`] to whoever can tell a repetition by it.
/// - It begins at the end of the log, unless [`Settings::start`] says otherwise: history is not acted upon once more.
/// - It is never replayed: a reactor is another type than a projection, so that it can't be given to what builds read
///   models, and [`Handle::rebuild`](crate::Handle::rebuild) refuses it.
///
/// What fails holds up its own stream and nothing else: the changeset and all later ones of the stream wait, in their order,
/// and the others go on. It is tried again at the pace of [`Settings::parking`], for [`Settings::give_up_after`]; then it
/// waits for an operator ([`Handle::retry_parked`](crate::Handle::retry_parked),
/// [`Handle::discard`](crate::Handle::discard)), and the status says so.
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
/// It is no projection:
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
    message = "`{Self}` is no reactor",
    note = "implement `Reactor` for it; a `Projection` is given to `Projector::projection`, a `Fold` to `Projector::fold`"
)]
pub trait Reactor: Send + Sync + 'static {
    /// What it sees, as for a [`Projection`](crate::Projection::Event).
    type Event: DeserializeOwned + Send + Sync + 'static;

    /// Its name, for ever, and none that a projection has: lower-case letters, digits and `_`, at most 48, beginning with
    /// a letter.
    fn name(&self) -> &str;

    /// Which changesets it wants, and how it reads their events. Asked for once. Default: all changesets.
    fn subscription(&self) -> Subscription {
        Subscription::default()
    }

    /// Does what the event calls for.
    ///
    /// # Cancellation
    /// Dropped at any await when the process ends or another worker took over; it is called again then.
    fn react(&self, cause: Cause<'_, Self::Event>) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Does what many events call for; one after the other unless you know something faster that keeps the order within
    /// each stream.
    ///
    /// # Errors
    /// [`Interrupted`] says how far it got; what lies before is not done again.
    fn react_batch(
        &self,
        causes: &[Cause<'_, Self::Event>],
    ) -> impl Future<Output = Result<(), Interrupted>> + Send {
        async move {
            for (done, cause) in causes.iter().enumerate() {
                // Here, so that it is this event's fault and no other's.
                let reacted = AssertUnwindSafe(self.react(*cause)).catch_unwind().await;
                let reacted = reacted.unwrap_or_else(|panic| Err(panicked("the reactor", &*panic)));
                reacted.map_err(|error| Interrupted { done, error })?;
            }
            Ok(())
        }
    }

    /// Whether an error concerns all streams alike, and passes: the one service it talks to is away, say. Such an error holds
    /// up the whole reactor and is tried again for ever. None is unless set: then each stream that fails waits by itself, and
    /// those for which it works go on.
    fn is_transient(&self, error: &(dyn Error + 'static)) -> bool {
        let _ = error;
        false
    }
}

/// A batch that was not done to its end.
#[derive(Debug)]
pub struct Interrupted {
    /// So many events at its front were done, all of them.
    pub done: usize,
    /// Why the next one was not.
    pub error: BoxError,
}
