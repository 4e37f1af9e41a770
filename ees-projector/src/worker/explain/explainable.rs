//! What an explanation asks of a fold, whatever its types.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::observed::Observed;
use crate::database::FoldRows;
use crate::error::BoxError;
use crate::folded::write_in_order;
use crate::projection::Projection;
use crate::read_model::{Change, Row, RowError, Table};
use crate::worker::batch::Batch;
use crate::worker::processor::projection::ProjectionAdapter;

/// A fold, or what is made of folds, as something whose rows can be explained.
pub(crate) trait Explainable<Tx>: Send + Sync {
    /// Creates its tables.
    fn create_tables<'a>(&'a self, tables: &'a mut Observed) -> BoxFuture<'a, Result<(), BoxError>>;

    /// Applies some of a batch's events to its tables in memory.
    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tables: &'a mut Observed,
    ) -> BoxFuture<'a, Result<(), BoxError>>;

    /// Checks that a row of the table can have this key.
    fn check_key(&self, table: &Table, key: &str) -> Result<(), RowError>;

    /// Returns the row that the database has.
    fn stored<'a>(
        &'a self,
        tx: &'a mut Tx,
        table: &'a Table,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Row>, BoxError>>;

    /// Returns the rows that the database has, in the order of the keys.
    fn load<'a>(
        &'a self,
        tx: &'a mut Tx,
        table: &'a Table,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Row>>, BoxError>>;

    /// Checks changes of its tables, and writes them.
    fn write<'a>(
        &'a self,
        tx: &'a mut Tx,
        tables: &'a [Table],
        changed: Vec<Vec<Change>>,
    ) -> BoxFuture<'a, Result<(), BoxError>>;
}

impl<Tx: FoldRows, P> Explainable<Tx> for ProjectionAdapter<P>
where
    P: Projection<Tx> + Projection<Observed, Event = <P as Projection<Tx>>::Event>,
{
    fn create_tables<'a>(&'a self, tables: &'a mut Observed) -> BoxFuture<'a, Result<(), BoxError>> {
        Projection::<Observed>::create_tables(self.projection(), tables).boxed()
    }

    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tables: &'a mut Observed,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            let events = batch.recorded(events);
            Projection::<Observed>::apply_batch(self.projection(), &events, tables).await
        }
        .boxed()
    }

    fn check_key(&self, table: &Table, key: &str) -> Result<(), RowError> {
        table.check_key(key)?;
        Tx::check_key(table, key)
    }

    fn stored<'a>(
        &'a self,
        tx: &'a mut Tx,
        table: &'a Table,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Row>, BoxError>> {
        async move { Ok(tx.load_rows(table, &[key]).await?.pop().flatten()) }.boxed()
    }

    fn load<'a>(
        &'a self,
        tx: &'a mut Tx,
        table: &'a Table,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Row>>, BoxError>> {
        tx.load_rows(table, keys).boxed()
    }

    fn write<'a>(
        &'a self,
        tx: &'a mut Tx,
        tables: &'a [Table],
        changed: Vec<Vec<Change>>,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            for (table, changed) in tables.iter().zip(&changed) {
                for Change { key, row, .. } in changed {
                    Explainable::<Tx>::check_key(self, table, key)?;
                    if let Some(row) = row {
                        Tx::check_row(table, key, row)?;
                    }
                }
            }
            write_in_order(tables.iter(), changed, tx).await
        }
        .boxed()
    }
}
