//! What users write: a read model, and how one event changes it.

use std::future::Future;

use ees_store::Filter;
use ees_store::event::Reading;
use serde::de::DeserializeOwned;

use crate::Recorded;
use crate::reactor::Effects;

/// Any error of a projection's own code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which order a projection needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The global order: an event may depend on any earlier one.
    #[default]
    Log,
    /// The order within each stream: what it writes for one stream does not depend on other streams. Such a
    /// projection may park a stream that fails and go on with the others.
    Stream,
}

/// A read model written with statements of your own, on the transaction that also moves the checkpoint.
///
/// `Tx` is the transaction of a read-model database: [`sqlite::Tx`](crate::sqlite::Tx),
/// [`postgres::Tx`](crate::postgres::Tx), [`memory::Tx`](crate::memory::Tx). One projection can be written for several. When a key and a pure function
/// will do, take a [`Fold`](crate::Fold): no statements to write, and faster.
///
/// Guarantees: events come in global order, each exactly once as far as the transaction reaches. Effects outside of
/// it (a mail, another database) may happen more than once, and again in every rebuild: they do not belong here.
///
/// The future must not wait for anything slow: the transaction is open all the time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no projection onto a database with the transaction `{Tx}`",
    note = "implement `Projection<{Tx}>` for it; a `Fold` is given to `Projector::fold` instead"
)]
pub trait Projection<Tx: Send>: Send + Sync + 'static {
    /// What it sees: an enum tagged with `type` (see [`read_event`](crate::read_event)), or
    /// `Box<serde_json::value::RawValue>` for the text itself, or `serde::de::IgnoredAny` when only the place counts.
    type Event: DeserializeOwned + Send + Sync + 'static;

    /// Its name, for ever: lower-case letters, digits and `_`, at most 48, beginning with a letter.
    fn name(&self) -> &str;

    /// Counts up with every change after which the read model must be built anew. A higher version than the one
    /// stored wipes and replays when the projector starts.
    fn version(&self) -> u32 {
        1
    }

    /// Which changesets it wants; all unless set.
    fn filter(&self) -> Filter {
        Filter::default()
    }

    /// How it sees events: brought up to date by upcasters, and those of unknown types skipped, as unless set, or refused.
    /// The [`filter`](Self::filter) names types as they are called today.
    fn reading(&self) -> Reading {
        Reading::default()
    }

    /// The order it needs; the global one unless set.
    fn order(&self) -> Order {
        Order::Log
    }

    /// Whether it is the faster the more events it is given at once, as a fold is, which writes each row once for all of
    /// them. While it is far behind it gets [`Settings::span_changesets_max`](crate::Settings::span_changesets_max) at a
    /// time then. Not unless set.
    fn takes_spans(&self) -> bool {
        false
    }

    /// Makes its tables.
    fn create_tables(&self, tx: &mut Tx) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Drops its tables, all that [`create_tables`](Self::create_tables) made.
    fn drop_tables(&self, tx: &mut Tx) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Changes the read model by one event.
    fn apply(
        &self,
        event: Recorded<'_, Self::Event>,
        tx: &mut Tx,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// What a [`Reactor`](crate::reactor::Reactor) does, before the transaction. No projection has any.
    #[doc(hidden)]
    fn effects(&self) -> Option<&dyn Effects<Self::Event>> {
        None
    }

    /// Changes the read model by many events, in order; the same as one [`apply`](Self::apply) each unless you know
    /// something faster. When it fails, the events are applied again in smaller portions.
    fn apply_batch(
        &self,
        events: &[Recorded<'_, Self::Event>],
        tx: &mut Tx,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        async move {
            for event in events {
                self.apply(*event, tx).await?;
            }
            Ok(())
        }
    }
}

/// Whether a text can name a projection, on every database.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && text.len() <= 48
        && !text.starts_with("ees_")
        && !text.starts_with("sqlite_")
        && !["__standby", "__scratch", "__swap"].iter().any(|suffix| text.ends_with(suffix))
}
