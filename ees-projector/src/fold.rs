//! Read models without statements: a key and a pure function.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::hash::Hash;

use ees_store::Filter;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database::FoldRows;
use crate::{BoxError, Order, Projection, Recorded};

/// A read model of rows: which row an event belongs to, and a pure function that makes the new row of the old.
///
/// The usual case, and the fastest: the rows a batch touches are loaded once, folded in memory, and the changed ones
/// written together. Works on every database, and is tested without one.
///
/// The rows are kept in a table of the fold's name: `key` (text), `state` (JSON text).
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
    /// What it sees, as for [`Projection::Event`].
    type Event: DeserializeOwned + Send + Sync + 'static;
    /// What names a row; its text is the table's `key`.
    type Key: Eq + Hash + Display + Send + Sync;
    /// A row.
    type State: Serialize + DeserializeOwned + Send + Sync;

    /// Its name, as for [`Projection::name`]; the table is called so too.
    fn name(&self) -> &str;

    /// Its version, as for [`Projection::version`].
    fn version(&self) -> u32 {
        1
    }

    /// Which changesets it wants; all unless set.
    fn filter(&self) -> Filter {
        Filter::default()
    }

    /// The order it needs. [`Order::Stream`] when the key is a function of the stream id.
    fn order(&self) -> Order {
        Order::Log
    }

    /// The row an event belongs to, if any.
    fn key(&self, event: Recorded<'_, Self::Event>) -> Option<Self::Key>;

    /// The row after the event; `None` removes it.
    fn fold(&self, row: Option<Self::State>, event: Recorded<'_, Self::Event>) -> Option<Self::State>;
}

/// A fold as a projection, on every database that keeps rows.
pub(crate) struct Folded<F>(pub(crate) F);

struct Row<S> {
    key: String,
    state: Option<S>,
}

impl<F: Fold, Tx: FoldRows> Projection<Tx> for Folded<F> {
    type Event = F::Event;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn filter(&self) -> Filter {
        self.0.filter()
    }

    fn order(&self) -> Order {
        self.0.order()
    }

    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.create_rows(self.0.name()).await
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.drop_rows(self.0.name()).await
    }

    async fn apply(&self, event: Recorded<'_, F::Event>, tx: &mut Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }

    async fn apply_batch(&self, events: &[Recorded<'_, F::Event>], tx: &mut Tx) -> Result<(), BoxError> {
        let mut rows: Vec<Row<F::State>> = Vec::new();
        let mut places: HashMap<F::Key, usize> = HashMap::new();
        // Two keys with one text are one row.
        let mut texts: HashMap<String, usize> = HashMap::new();
        let mut row_of_event = Vec::with_capacity(events.len());
        for event in events {
            row_of_event.push(self.0.key(*event).map(|key| match places.entry(key) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let key = new.key().to_string();
                    let place = *texts.entry(key).or_insert_with_key(|key| {
                        rows.push(Row { key: key.clone(), state: None });
                        rows.len() - 1
                    });
                    *new.insert(place)
                }
            }));
        }
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let before = tx.load_rows(self.0.name(), &keys).await?;
        for (row, text) in rows.iter_mut().zip(&before) {
            row.state = text.as_deref().map(serde_json::from_str).transpose()?;
        }
        for (event, place) in events.iter().zip(row_of_event) {
            if let Some(row) = place.and_then(|place| rows.get_mut(place)) {
                row.state = self.0.fold(row.state.take(), *event);
            }
        }
        let mut changed = Vec::with_capacity(rows.len());
        for (row, before) in rows.into_iter().zip(before) {
            let after = row.state.as_ref().map(serde_json::to_string).transpose()?;
            if after != before {
                changed.push((row.key, after));
            }
        }
        tx.write_rows(self.0.name(), &changed).await
    }
}
