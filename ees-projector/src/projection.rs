//! The trait for projections with SQL of your own.

use std::future::Future;

use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::event::Recorded;
use crate::read_model_id::ReadModelId;
use crate::subscription::Subscription;

/// The order of events that a projection depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The global order: an event may depend on any earlier one. The default.
    #[default]
    Log,
    /// The order within each stream: what the projection writes for one stream does not depend on other
    /// streams. Such a projection may park a failing stream and go on with the others, and may be split into
    /// partitions.
    Stream,
}

/// What [`Projection::check_tables`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesChecked {
    /// How the tables differ, in words. If there is anything, the projection stops: its version must rise.
    pub differences: Vec<String>,
    /// The columns that were added, as `table.column`.
    pub added: Vec<String>,
}

/// A read model that is written with statements of your own, in the transaction that also moves the
/// checkpoint.
///
/// Choose a [`Fold`](crate::Fold) if a key and a pure function are enough: there is no SQL to write, and it
/// is faster.
///
/// `Tx` is the transaction of a read-model database: `sqlite::Tx`,
/// `postgres::Tx`, `dynamodb::Tx` or [`memory::Tx`](crate::memory::Tx). A projection
/// can be written for several of them.
///
/// # Guarantees
/// Events arrive in the order of the log. Each one changes the database exactly once, as far as it changes it
/// through `Tx`. Anything else (a mail, another database) may happen more than once, and again in every
/// rebuild: use a [`Reactor`](crate::Reactor) for it.
///
/// The transaction stays open while the future runs. Do not wait for anything slow in it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projection for databases with the transaction `{Tx}`",
    note = "implement `Projection<{Tx}>` for it, or pass a `Fold` to `Projector::fold`"
)]
pub trait Projection<Tx: Send>: Send + Sync + 'static {
    /// The type of its events: an enum tagged with `type` (see [`read_event`](crate::read_event)),
    /// `Box<serde_json::value::RawValue>` for the JSON text, or `serde::de::IgnoredAny` if only the position
    /// of the event matters.
    type Event: DeserializeOwned + Send + Sync + 'static;

    /// Returns the name. It must never change. Lower-case letters, digits and `_`, at most 48, starting with
    /// a letter.
    fn name(&self) -> &str;

    /// Returns the version of the code. Raise it with every change that requires a rebuild. When the stored
    /// version is lower, the projector rebuilds the read model at the start
    /// ([`NewVersion`](crate::NewVersion)). Default: 1.
    fn version(&self) -> u32 {
        1
    }

    /// Returns which changesets it wants, and how it reads their events. Called once. Default: all
    /// changesets.
    fn subscription(&self) -> Subscription {
        Subscription::default()
    }

    /// Returns the order that it needs. Default: the global order.
    fn order(&self) -> Order {
        Order::Log
    }

    /// Returns `true` if larger batches are faster, as for a fold, which writes each row once in a batch.
    /// While the projection is far behind, it then gets up to
    /// [`Settings::span_changesets_max`](crate::Settings::span_changesets_max) changesets at a time. Default:
    /// `false`.
    fn prefers_large_batches(&self) -> bool {
        false
    }

    /// Creates its tables. What is made elsewhere counts as the user's own, and keeps the read model from being
    /// discarded.
    fn create_tables(&self, tx: &mut Tx) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Drops all tables that [`create_tables`](Self::create_tables) creates.
    fn drop_tables(&self, tx: &mut Tx) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Compares its tables in the database with those that [`create_tables`](Self::create_tables) would make.
    /// Called when a worker starts and the stored version is this one. `others` names what somebody else added.
    /// Adds what may be [added](crate::read_model::Column::added()) without a rebuild. Default: finds no difference.
    fn check_tables(
        &self,
        tx: &mut Tx,
        others: &[String],
    ) -> impl Future<Output = Result<TablesChecked, BoxError>> + Send {
        let _ = (tx, others);
        async { Ok(TablesChecked::default()) }
    }

    /// Changes the read model by one event.
    fn apply(
        &self,
        event: Recorded<'_, Self::Event>,
        tx: &mut Tx,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Changes the read model by several events, in order. When it fails, the worker applies the events again
    /// in smaller portions. Default: calls [`apply`](Self::apply) for each event.
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

/// The most characters of a name.
pub(crate) const NAME_MAX: usize = 48;

/// Returns `true` if a text can name a table on every database.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && text.len() <= NAME_MAX
        && !text.starts_with("ees_")
        && !text.starts_with("sqlite_")
}

/// Returns `true` if a text can name a projection on every database: PostgreSQL gives each a schema.
pub(crate) fn is_projection_name(text: &str) -> bool {
    is_name(text)
        && !["ees", "public", "information_schema"].contains(&text)
        && !text.starts_with("pg_")
        && !ReadModelId::is_reserved(text)
}
