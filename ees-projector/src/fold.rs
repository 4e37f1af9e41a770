//! Folds: read models made by a pure function, without SQL.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database::FoldRows;
use crate::multi_fold::MultiFold;
use crate::read_model::{Change, Column, ColumnType, InvalidTable, Row, RowError, from_row, to_row};
use crate::{BoxError, Order, Projection, Recorded, Subscription, Table, TablesChecked};

/// A read model made of a key and a pure function: the key says which row an event belongs to, the function
/// makes the new row from the old one.
///
/// Choose it first. It is the fastest kind of projection: a batch loads the rows it touches once, folds them
/// in memory and writes the changed ones together. It works on every database, and a test needs no database.
/// Choose a [`MultiFold`](crate::MultiFold) when one event changes many rows, and a [`Projection`] when you need
/// SQL of your own.
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
    /// The type of its events. See [`Projection::Event`].
    type Event: DeserializeOwned + Send + Sync + 'static;
    /// The key of a row. Its text is the key in the table.
    type Key: Eq + Hash + Display + Send + Sync;
    /// A row.
    type State: Serialize + DeserializeOwned + Send + Sync;

    /// Returns the name, by the rules of [`Projection::name`]. Also the name of the table, unless
    /// [`table`](Fold::table) gives another.
    fn name(&self) -> &str;

    /// Returns the version. See [`Projection::version`]. Default: 1.
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

/// A fold as a projection, on every database that implements [`FoldRows`].
pub(crate) struct Folded<F> {
    fold: F,
    table: Table,
    /// Whether a database may give a row back in another text than it was given: it has a `jsonb` column.
    has_other_text: bool,
}

impl<F: MultiFold> Folded<F> {
    pub(crate) fn new(fold: F) -> Self {
        let table = fold.table();
        let has_other_text = table.columns.iter().any(|column| column.ty == ColumnType::Jsonb);
        Self { table, fold, has_other_text }
    }

    /// Checks the fold's table.
    pub(crate) fn checked(fold: F) -> Result<Self, InvalidTable> {
        let folded = Self::new(fold);
        // The name of the fold is checked with the fold.
        if !folded.table.is_document() || folded.table.name != folded.fold.name() {
            folded.table.check()?;
        }
        Ok(folded)
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}

struct Touched<S> {
    key: String,
    state: Option<S>,
    /// The last event of the batch that named it.
    last_event: Option<usize>,
}

impl<F: MultiFold, Tx: FoldRows> Projection<Tx> for Folded<F> {
    type Event = F::Event;

    fn name(&self) -> &str {
        self.fold.name()
    }

    fn version(&self) -> u32 {
        self.fold.version()
    }

    fn subscription(&self) -> Subscription {
        self.fold.subscription()
    }

    fn order(&self) -> Order {
        self.fold.order()
    }

    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.create_table(&self.table).await
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.drop_table(&self.table).await
    }

    async fn check_tables(&self, tx: &mut Tx, others: &[String]) -> Result<TablesChecked, BoxError> {
        let found = tx.differences(&self.table, others).await?;
        let missing: Vec<&Column> = self
            .table
            .columns
            .iter()
            .filter(|column| found.missing.iter().any(|name| *name == column.name))
            .collect();
        let may_be_added = found.others.is_empty()
            && missing.len() == found.missing.len()
            && missing.iter().all(|column| column.added);
        if !may_be_added {
            return Ok(TablesChecked {
                differences: found.in_words(&self.table),
                ..TablesChecked::default()
            });
        }
        if !missing.is_empty() {
            tx.add_columns(&self.table, &missing).await?;
        }
        Ok(TablesChecked { added: found.missing, ..TablesChecked::default() })
    }

    fn prefers_large_batches(&self) -> bool {
        true
    }

    async fn apply(&self, event: Recorded<'_, F::Event>, tx: &mut Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }

    async fn apply_batch(&self, events: &[Recorded<'_, F::Event>], tx: &mut Tx) -> Result<(), BoxError> {
        let mut rows: Vec<Touched<F::State>> = Vec::new();
        let mut indexes: HashMap<F::Key, usize> = HashMap::new();
        // Two keys with the same text are the same row.
        let mut texts: HashMap<String, usize> = HashMap::new();
        // Of each event, and where those of the next one begin.
        let mut touched = Vec::with_capacity(events.len());
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            for key in self.fold.keys(*event) {
                let index = match indexes.entry(key) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let key = new.key().to_string();
                        let index = *texts.entry(key).or_insert_with_key(|key| {
                            rows.push(Touched { key: key.clone(), state: None, last_event: None });
                            rows.len() - 1
                        });
                        *new.insert(index)
                    }
                };
                // Once for an event, however often it names the row.
                if let Some(row) = rows.get_mut(index)
                    && row.last_event.replace(ends.len()) != Some(ends.len())
                {
                    touched.push(index);
                }
            }
            ends.push(touched.len());
        }
        // The first event that names a row, for an error about its key or about the row as it was.
        let first_event = |index: usize| {
            let at = touched.iter().position(|touched| *touched == index)?;
            events.get(ends.iter().position(|end| at < *end)?).copied()
        };
        for (index, row) in rows.iter().enumerate() {
            let checked = self.table.check_key(&row.key).and_then(|()| Tx::check_key(&self.table, &row.key));
            checked.map_err(|error| of_event(first_event(index), error))?;
        }
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let mut before = tx.load_rows(&self.table, &keys).await?;
        for (index, (row, before)) in rows.iter_mut().zip(&mut before).enumerate() {
            let Some(stored) = before else { continue };
            let state = from_row(&self.table, stored).map_err(|error| of_event(first_event(index), error))?;
            if self.has_other_text {
                // As this program writes it, so that it can be compared.
                *stored = to_row(&self.table, &state)?;
            }
            row.state = Some(state);
        }
        let mut key_of_row = vec![None; rows.len()];
        for (key, index) in &indexes {
            key_of_row[*index] = Some(key);
        }
        let mut begin = 0;
        for (event, end) in events.iter().zip(&ends) {
            for index in &touched[begin..*end] {
                if let (Some(row), Some(key)) = (rows.get_mut(*index), key_of_row[*index]) {
                    row.state = self.fold.fold(key, row.state.take(), *event);
                }
            }
            begin = *end;
        }
        let mut changed = Vec::with_capacity(rows.len());
        for (index, (row, before)) in rows.iter().zip(before).enumerate() {
            let after = row.state.as_ref().map(|state| self.row::<Tx>(&row.key, state)).transpose();
            let after = after.map_err(|error| {
                let begins = std::iter::once(&0).chain(&ends);
                let spans = begins.zip(&ends).map(|(begin, end)| &touched[*begin..*end]);
                let of_row = events.iter().zip(spans).filter(|(_, span)| span.contains(&index));
                let named: Vec<_> = of_row.map(|(event, _)| *event).collect();
                self.blame::<Tx>(key_of_row[index], &row.key, before.as_ref(), &named, error)
            })?;
            if after != before {
                changed.push(Change { key: row.key.clone(), before, row: after });
            }
        }
        tx.write_rows(&self.table, &changed).await
    }
}

impl<F: MultiFold> Folded<F> {
    /// The row of a state, if the table and the database can keep it.
    fn row<Tx: FoldRows>(&self, key: &str, state: &F::State) -> Result<Row, RowError> {
        let row = to_row(&self.table, state)?;
        Tx::check_row(&self.table, key, &row)?;
        Ok(row)
    }

    /// Finds the event after which a row can't be kept any more: it folds the row again, event by event.
    fn blame<Tx: FoldRows>(
        &self,
        key: Option<&F::Key>,
        text: &str,
        before: Option<&Row>,
        events: &[Recorded<'_, F::Event>],
        error: RowError,
    ) -> BoxError {
        let mut state = before.and_then(|before| from_row(&self.table, before).ok());
        for event in events {
            let Some(key) = key else { break };
            state = self.fold.fold(key, state, *event);
            if let Some(Err(error)) = state.as_ref().map(|state| self.row::<Tx>(text, state)) {
                return of_event(Some(*event), error);
            }
        }
        of_event(events.last().copied(), error)
    }
}

/// The error with the event that it concerns.
fn of_event<E>(event: Option<Recorded<'_, E>>, error: RowError) -> BoxError {
    let Some(event) = event else { return error.into() };
    let (stream, changeset, id) = (event.stream_id(), event.changeset_id(), event.event_id);
    format!("event {id} (changeset {changeset} of stream {stream}): {error}").into()
}
