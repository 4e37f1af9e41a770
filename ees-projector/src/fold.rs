//! Folds: read models made by a pure function, without SQL.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::composite::{Composite, IntoComposite, InvalidComposite};
use crate::database::FoldRows;
use crate::read_model::Change;
use crate::stage::Hidden;
use crate::{BoxError, Order, Projection, Recorded, Subscription, Table};

/// A read model made of a key and a pure function: the key says which row an event belongs to, the function
/// makes the new row from the old one.
///
/// Choose it first. It is the fastest kind of projection: a batch loads the rows it touches once, folds them
/// in memory and writes the changed ones together. It works on every database, and a test needs no database.
/// Choose a [`MultiFold`](crate::MultiFold) when one event changes many rows, a [`Composite`] when several tables
/// belong together, and a [`Projection`] when you need SQL of your own.
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

/// A fold, or a composite of several, as a projection on every database that implements [`FoldRows`].
pub(crate) struct Folded<E> {
    composite: Composite<E>,
}

impl<E> Folded<E> {
    pub(crate) fn new(fold: impl IntoComposite<Event = E>) -> Self {
        Self { composite: fold.into_composite() }
    }

    /// Checks the stages and their tables.
    pub(crate) fn checked(fold: impl IntoComposite<Event = E>) -> Result<Self, InvalidComposite> {
        let folded = Self::new(fold);
        folded.composite.check()?;
        Ok(folded)
    }

    /// Writes the changed rows of all stages. A row may refer to one of an earlier stage, so rows are written in the
    /// order of the stages and deleted in the reverse one.
    async fn write<Tx: FoldRows>(&self, mut changed: Vec<Vec<Change>>, tx: &mut Tx) -> Result<(), BoxError> {
        let stages = &self.composite.stages;
        let mut deleted = Vec::new();
        if let [_, _, ..] = stages[..] {
            for changed in &mut changed {
                let (kept, gone) =
                    std::mem::take(changed).into_iter().partition(|change| change.row.is_some());
                *changed = kept;
                deleted.push(gone);
            }
        }
        let deleted = stages.iter().zip(&deleted).rev();
        for (stage, rows) in stages.iter().zip(&changed).chain(deleted) {
            if !rows.is_empty() {
                tx.write_rows(stage.table(), rows).await?;
            }
        }
        Ok(())
    }
}

impl<E: DeserializeOwned + Send + Sync + 'static, Tx: FoldRows> Projection<Tx> for Folded<E> {
    type Event = E;

    fn name(&self) -> &str {
        &self.composite.name
    }

    fn version(&self) -> u32 {
        self.composite.version
    }

    fn subscription(&self) -> Subscription {
        self.composite.subscription.clone()
    }

    fn order(&self) -> Order {
        self.composite.order()
    }

    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        for stage in &self.composite.stages {
            tx.create_table(stage.table()).await?;
        }
        Ok(())
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        for stage in self.composite.stages.iter().rev() {
            tx.drop_table(stage.table()).await?;
        }
        Ok(())
    }

    fn prefers_large_batches(&self) -> bool {
        true
    }

    async fn apply(&self, event: Recorded<'_, E>, tx: &mut Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }

    async fn apply_batch(&self, events: &[Recorded<'_, E>], tx: &mut Tx) -> Result<(), BoxError> {
        let stages = &self.composite.stages;
        // By the stage that asked.
        let mut answers: HashMap<usize, Hidden> = HashMap::new();
        let mut changed = Vec::with_capacity(stages.len());
        for (number, stage) in stages.iter().enumerate() {
            let asking: Vec<usize> = (number + 1..stages.len())
                .filter(|later| self.composite.lookup_of(*later) == Some(number))
                .collect();
            let asked = asking.iter().filter_map(|later| Some(stages.get(*later)?.asks(events))).collect();
            let pass = stage.begin(events, answers.remove(&number), asked)?;
            let keys = pass.keys();
            let before = match keys.is_empty() {
                true => Vec::new(),
                false => tx.load_rows(stage.table(), &keys).await?,
            };
            drop(keys);
            let passed = pass.run(events, before)?;
            answers.extend(asking.into_iter().zip(passed.answers));
            changed.push(passed.changed);
        }
        self.write(changed, tx).await
    }
}
