//! What users write: a read model, and how one event changes it.

use std::future::Future;

use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::event::Recorded;
use crate::read_model_id::ReadModelId;
use crate::subscription::Subscription;

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

    /// Which changesets it wants, and how it reads their events. Asked for once. Default: all changesets.
    fn subscription(&self) -> Subscription {
        Subscription::default()
    }

    /// The order it needs. Default: the global order.
    fn order(&self) -> Order {
        Order::Log
    }

    /// Return `true` if larger batches are faster, as for a fold, which writes each row once a batch. While the projection
    /// is far behind it then gets up to [`Settings::span_changesets_max`](crate::Settings::span_changesets_max) at a time.
    /// Default: `false`.
    fn prefers_large_batches(&self) -> bool {
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
        && !ReadModelId::is_reserved(text)
}
