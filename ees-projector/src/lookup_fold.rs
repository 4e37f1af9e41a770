//! Folds that look up the rows of an earlier stage of their composite.

use std::fmt::{self, Debug, Display};
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Fold, MultiFold, Order, Recorded, Subscription, Table};

/// A [`MultiFold`] that looks up rows of an earlier stage of the same [`Composite`](crate::Composite): which
/// order does this payment belong to?
///
/// Choose it when an event does not say by itself which rows it changes, or how. The rows that it looks up
/// are those of another fold, which keeps them in a table of its own. Both are stages of one composite, so
/// both are at the same position in the same transaction.
///
/// An event sees the looked-up rows as of its own place in the log: changed by all earlier events and by
/// itself, and by no later one. So the result does not depend on how the log is cut into batches.
///
/// ```
/// use ees_projector::testkit::given;
/// use ees_projector::{Composite, Fold, Found, LookupFold, Recorded};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum ShopEvent {
///     InvoiceSent { invoice: String, order: String },
///     InvoicePaid { invoice: String, cents: i64 },
/// }
///
/// /// The order of each invoice.
/// struct OrderOfInvoice;
/// impl Fold for OrderOfInvoice {
///     type Event = ShopEvent;
///     type Key = String;
///     type State = String;
///     fn name(&self) -> &str { "order_of_invoice" }
///     fn key(&self, event: Recorded<'_, ShopEvent>) -> Option<String> {
///         match event.event {
///             ShopEvent::InvoiceSent { invoice, .. } => Some(invoice.clone()),
///             ShopEvent::InvoicePaid { .. } => None,
///         }
///     }
///     fn fold(&self, _: Option<String>, event: Recorded<'_, ShopEvent>) -> Option<String> {
///         match event.event {
///             ShopEvent::InvoiceSent { order, .. } => Some(order.clone()),
///             ShopEvent::InvoicePaid { .. } => None,
///         }
///     }
/// }
///
/// /// What was paid for each order.
/// struct Paid;
/// impl LookupFold for Paid {
///     type Event = ShopEvent;
///     type Key = String;
///     type State = i64;
///     type Lookup = OrderOfInvoice;
///     fn name(&self) -> &str { "paid" }
///     fn asks(&self, event: Recorded<'_, ShopEvent>) -> impl IntoIterator<Item = String> {
///         match event.event {
///             ShopEvent::InvoicePaid { invoice, .. } => Some(invoice.clone()),
///             ShopEvent::InvoiceSent { .. } => None,
///         }
///     }
///     fn keys(&self, _: Recorded<'_, ShopEvent>, found: Found<'_, OrderOfInvoice>) -> impl IntoIterator<Item = String> {
///         found.row().cloned()
///     }
///     fn fold(
///         &self,
///         _: &String,
///         paid: Option<i64>,
///         event: Recorded<'_, ShopEvent>,
///         _: Found<'_, OrderOfInvoice>,
///     ) -> Option<i64> {
///         match event.event {
///             ShopEvent::InvoicePaid { cents, .. } => Some(paid.unwrap_or(0) + cents),
///             ShopEvent::InvoiceSent { .. } => paid,
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let history = given([
///     ("order/1", json!({"type": "invoice_sent", "invoice": "i7", "order": "order/1"})),
///     ("bank", json!({"type": "invoice_paid", "invoice": "i7", "cents": 900})),
/// ]);
/// let orders = || Composite::new("orders").stage(OrderOfInvoice).stage(Paid);
/// history.composite(orders()).await.expect("paid", [("order/1", json!(900))]);
/// history.check_fold(orders).await;
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a stage of a composite",
    note = "implement `Fold`, `MultiFold` or `LookupFold`"
)]
pub trait LookupFold: Send + Sync + 'static {
    /// The type of its events: that of all stages.
    type Event: DeserializeOwned + Send + Sync + 'static;
    /// The key of a row. Its text is the key in the table.
    type Key: Eq + Hash + Display + Send + Sync;
    /// A row.
    type State: Serialize + DeserializeOwned + Send + Sync;
    /// The earlier stage whose rows it looks up.
    type Lookup: LookupFold<Event = Self::Event, State: Clone>;

    /// Returns the name of the stage. Also the name of its table, unless [`table`](Self::table) gives
    /// another.
    fn name(&self) -> &str;

    /// Returns the table for the rows. See [`Fold::table`]. Default: one JSON document for each row.
    fn table(&self) -> Table {
        Table::document(self.name().to_owned())
    }

    /// Returns the order that it needs. Return [`Order::Stream`] if each row, and each row that it looks up,
    /// depends on the events of one stream only. Default: the global order.
    fn order(&self) -> Order {
        Order::Log
    }

    /// A stage has no subscription of its own: a fold that has one can be refused as a stage by this.
    #[doc(hidden)]
    fn subscription(&self) -> Subscription {
        Subscription::default()
    }

    /// Returns the keys of the rows that an event looks up. Without keys, it finds nothing.
    fn asks(
        &self,
        event: Recorded<'_, Self::Event>,
    ) -> impl IntoIterator<Item = <Self::Lookup as LookupFold>::Key>;

    /// Returns the keys of the rows that an event changes. See [`MultiFold::keys`].
    fn keys(
        &self,
        event: Recorded<'_, Self::Event>,
        found: Found<'_, Self::Lookup>,
    ) -> impl IntoIterator<Item = Self::Key>;

    /// Returns the row with this key after the event, or `None` to delete it.
    fn fold(
        &self,
        key: &Self::Key,
        row: Option<Self::State>,
        event: Recorded<'_, Self::Event>,
        found: Found<'_, Self::Lookup>,
    ) -> Option<Self::State>;
}

/// A key that an event asked for, and the row that it found.
pub(crate) type Answer<L> = (<L as LookupFold>::Key, Option<Arc<<L as LookupFold>::State>>);

/// The rows that an event looked up, as of its place in the log.
pub struct Found<'a, L: LookupFold> {
    rows: &'a [Answer<L>],
}

impl<'a, L: LookupFold> Found<'a, L> {
    pub(crate) fn new(rows: &'a [Answer<L>]) -> Self {
        Self { rows }
    }

    /// Returns the row with the first key that the event asked for, if there is one.
    pub fn row(&self) -> Option<&'a L::State> {
        self.rows.first()?.1.as_deref()
    }

    /// Returns the row with this key, if the event asked for it and there is one.
    pub fn get(&self, key: &L::Key) -> Option<&'a L::State> {
        self.rows.iter().find(|(asked, _)| asked == key)?.1.as_deref()
    }
}

// Derived, these would require `L: Clone`.
impl<L: LookupFold> Clone for Found<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<L: LookupFold> Copy for Found<'_, L> {}

impl<L: LookupFold> Debug for Found<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("asked", &self.rows.len()).finish_non_exhaustive()
    }
}

/// The lookup of folds that look nothing up.
pub struct NoLookup<E>(PhantomData<fn() -> E>);

impl<E: DeserializeOwned + Send + Sync + 'static> Fold for NoLookup<E> {
    type Event = E;
    type Key = String;
    type State = ();

    fn name(&self) -> &str {
        "no_lookup"
    }

    fn key(&self, _: Recorded<'_, E>) -> Option<String> {
        None
    }

    fn fold(&self, row: Option<()>, _: Recorded<'_, E>) -> Option<()> {
        row
    }
}

impl<F: MultiFold> LookupFold for F {
    type Event = F::Event;
    type Key = F::Key;
    type State = F::State;
    type Lookup = NoLookup<F::Event>;

    fn name(&self) -> &str {
        MultiFold::name(self)
    }

    fn table(&self) -> Table {
        MultiFold::table(self)
    }

    fn order(&self) -> Order {
        MultiFold::order(self)
    }

    fn subscription(&self) -> Subscription {
        MultiFold::subscription(self)
    }

    fn asks(&self, _: Recorded<'_, F::Event>) -> impl IntoIterator<Item = String> {
        None
    }

    fn keys(
        &self,
        event: Recorded<'_, F::Event>,
        _: Found<'_, NoLookup<F::Event>>,
    ) -> impl IntoIterator<Item = F::Key> {
        MultiFold::keys(self, event)
    }

    fn fold(
        &self,
        key: &F::Key,
        row: Option<F::State>,
        event: Recorded<'_, F::Event>,
        _: Found<'_, NoLookup<F::Event>>,
    ) -> Option<F::State> {
        MultiFold::fold(self, key, row, event)
    }
}
