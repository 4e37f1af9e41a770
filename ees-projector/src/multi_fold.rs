//! Folds in which one event changes many rows.

use std::fmt::Display;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Fold, Order, Recorded, Subscription, Table};

/// A [`Fold`] in which one event changes any number of rows: those of the items of an order, or of both accounts
/// of a transfer.
///
/// Choose it when an event names its rows by itself. All else is as for a [`Fold`]: a batch loads the rows it
/// touches once, folds them in memory and writes the changed ones together. Every `Fold` is a `MultiFold` with
/// one key or none for an event, so whatever takes a fold takes both.
///
/// The rows are folded event by event, and of one event in the order of its keys. A row does not see the others.
///
/// ```
/// use ees_projector::{MultiFold, Recorded};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Transferred { from: String, to: String, amount: i64 }
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Balance { amount: i64 }
///
/// struct Balances;
/// impl MultiFold for Balances {
///     type Event = Transferred;
///     type Key = String;
///     type State = Balance;
///     fn name(&self) -> &str { "balances" }
///     fn keys(&self, event: Recorded<'_, Transferred>) -> impl IntoIterator<Item = String> {
///         [event.event.from.clone(), event.event.to.clone()]
///     }
///     fn fold(&self, key: &String, row: Option<Balance>, event: Recorded<'_, Transferred>) -> Option<Balance> {
///         let Transferred { from, amount, .. } = event.event;
///         let change = if key == from { -amount } else { *amount };
///         Some(Balance { amount: row.unwrap_or_default().amount + change })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a fold",
    note = "implement `Fold` (an event changes one row), or `MultiFold` (it changes any number of rows)"
)]
pub trait MultiFold: Send + Sync + 'static {
    /// The type of its events. See [`Projection::Event`](crate::Projection::Event).
    type Event: DeserializeOwned + Send + Sync + 'static;
    /// The key of a row. Its text is the key in the table.
    type Key: Eq + Hash + Display + Send + Sync;
    /// A row.
    type State: Serialize + DeserializeOwned + Send + Sync;

    /// Returns the name. See [`Fold::name`].
    fn name(&self) -> &str;

    /// Returns the version. See [`Fold::version`]. Default: 1.
    fn version(&self) -> u32 {
        1
    }

    /// Returns the table for the rows. See [`Fold::table`]. Default: one JSON document for each row.
    fn table(&self) -> Table {
        Table::document(self.name().to_owned())
    }

    /// Returns which changesets it wants, and how it reads their events. Called once. Default: all
    /// changesets.
    fn subscription(&self) -> Subscription {
        Subscription::default()
    }

    /// Returns the order that it needs. Return [`Order::Stream`] if each row depends on the events of one stream
    /// only. Default: the global order.
    fn order(&self) -> Order {
        Order::Log
    }

    /// Returns the keys of the rows that an event changes. Without keys, the event is ignored. A key that comes
    /// twice, or two with the same text, stand for one row, which is folded once.
    fn keys(&self, event: Recorded<'_, Self::Event>) -> impl IntoIterator<Item = Self::Key>;

    /// Returns the row with this key after the event, or `None` to delete it.
    fn fold(
        &self,
        key: &Self::Key,
        row: Option<Self::State>,
        event: Recorded<'_, Self::Event>,
    ) -> Option<Self::State>;
}

impl<F: Fold> MultiFold for F {
    type Event = F::Event;
    type Key = F::Key;
    type State = F::State;

    fn name(&self) -> &str {
        Fold::name(self)
    }

    fn version(&self) -> u32 {
        Fold::version(self)
    }

    fn table(&self) -> Table {
        Fold::table(self)
    }

    fn subscription(&self) -> Subscription {
        Fold::subscription(self)
    }

    fn order(&self) -> Order {
        Fold::order(self)
    }

    fn keys(&self, event: Recorded<'_, F::Event>) -> impl IntoIterator<Item = F::Key> {
        self.key(event)
    }

    fn fold(&self, _: &F::Key, row: Option<F::State>, event: Recorded<'_, F::Event>) -> Option<F::State> {
        Fold::fold(self, row, event)
    }
}
