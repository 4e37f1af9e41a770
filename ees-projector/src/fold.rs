//! Folds: read models made by a pure function, without SQL.

use std::fmt::Display;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Order, Recorded, Subscription, Table};

/// A read model made of a key and a pure function: the key says which row an event belongs to, the function
/// makes the new row from the old one.
///
/// Choose it first. It is the fastest kind of projection: a batch loads the rows it touches once, folds them
/// in memory and writes the changed ones together. It works on every database, and a test needs no database.
/// Choose a [`MultiFold`](crate::MultiFold) when one event changes many rows, a
/// [`Composite`](crate::Composite) when several tables belong together, and a
/// [`Projection`](crate::Projection) when you need SQL of your own.
///
/// By default, the table has the name of the fold and the columns `key` (text) and `state` (JSON text). For
/// columns of your own, derive [`ReadModel`](crate::ReadModel) for the state and override
/// [`table`](Fold::table).
///
/// ```
/// use ees_projector::{Fold, Recorded};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum AccountEvent { Deposited { amount: i64 }, Closed }
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Balance { amount: i64 }
///
/// struct Balances;
/// impl Fold for Balances {
///     type Event = AccountEvent;
///     type Key = String;
///     type State = Balance;
///     fn name(&self) -> &str { "balances" }
///     fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
///         Some(event.stream_id().to_string())
///     }
///     fn fold(&self, row: Option<Balance>, event: Recorded<'_, AccountEvent>) -> Option<Balance> {
///         match event.event {
///             AccountEvent::Deposited { amount } => Some(Balance { amount: row.unwrap_or_default().amount + amount }),
///             AccountEvent::Closed => None,
///         }
///     }
/// }
/// ```
pub trait Fold: Send + Sync + 'static {
    /// The type of its events. See [`Projection::Event`](crate::Projection::Event).
    type Event: DeserializeOwned + Send + Sync + 'static;
    /// The key of a row. Its text is the key in the table.
    type Key: Eq + Hash + Display + Send + Sync;
    /// A row.
    type State: Serialize + DeserializeOwned + Send + Sync;

    /// Returns the name, by the rules of [`Projection::name`](crate::Projection::name). Also the name of the
    /// table, unless [`table`](Fold::table) gives another.
    fn name(&self) -> &str;

    /// Returns the version. See [`Projection::version`](crate::Projection::version). Default: 1.
    fn version(&self) -> u32 {
        1
    }

    /// Returns the table for the rows. Called once. Default: one JSON document for each row.
    ///
    /// With [`#[derive(ReadModel)]`](crate::ReadModel) on the state, return `Account::table()`. Raise the
    /// [`version`](Fold::version) with every change of the table.
    fn table(&self) -> Table {
        Table::document(self.name().to_owned())
    }

    /// Returns which changesets it wants, and how it reads their events. Called once. Default: all
    /// changesets.
    fn subscription(&self) -> Subscription {
        Subscription::default()
    }

    /// Returns the order that it needs. Return [`Order::Stream`] if the key depends on the stream id only.
    /// Default: the global order.
    fn order(&self) -> Order {
        Order::Log
    }

    /// Returns the key of the row that an event belongs to, or `None` to ignore the event.
    fn key(&self, event: Recorded<'_, Self::Event>) -> Option<Self::Key>;

    /// Returns the row after the event, or `None` to delete it.
    fn fold(&self, row: Option<Self::State>, event: Recorded<'_, Self::Event>) -> Option<Self::State>;
}
