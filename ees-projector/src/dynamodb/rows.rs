//! The tables of folds, and generations, which drop a whole table in one write.
//!
//! A transaction can't delete more than 100 items. So the partition of a table's rows is named by the table
//! and a generation. Dropping the table increments the generation, and notes the old partition for the sweep.

use super::Tx;
use super::item::{self, Item, KEY, number, of_row, to_number, to_row};
use crate::database::{FoldRows, TooLarge};
use crate::error::BoxError;
use crate::read_model::{Change, Row, RowError, Table};
use crate::read_model_id::ReadModelId;

/// The partition with the generation of each table that was dropped at least once.
pub(super) const GENERATIONS: &str = "!!generations";
/// The partition that lists the partitions of dropped tables.
pub(super) const DROPPED: &str = "!!dropped";
const GENERATION: &str = "generation";

/// The most bytes of a sort key in DynamoDB.
const KEY_BYTES_MAX: usize = 1_024;
/// The most rows that one transaction loads. More than it may change, since some rows stay unchanged.
const LOADED_MAX: usize = 1_000;

/// The partition of a table, from the item with its generation.
pub(super) fn partition(table: &str, generation: Option<&Item>) -> Result<String, super::Error> {
    let generation: u64 = generation.map_or(Ok(0), |item| to_number(item, GENERATION))?;
    Ok(format!("{table}@{generation}"))
}

impl Tx {
    /// The partition of a table's rows. If another transaction drops the table in the meantime, this one
    /// can't commit.
    pub(super) async fn partition_of(&self, table: &str) -> Result<String, BoxError> {
        Ok(partition(table, self.get(GENERATIONS, table).await?.as_ref())?)
    }

    pub(super) async fn next_generation(&mut self, table: &str) -> Result<(), BoxError> {
        let now = self.get(GENERATIONS, table).await?;
        let partition = partition(table, now.as_ref())?;
        let generation: u64 = now.map_or(Ok(0), |item| to_number(&item, GENERATION))?;
        let next = Item::from([(GENERATION.to_owned(), number(generation + 1))]);
        self.stage(GENERATIONS, table, Some(next))?;
        self.stage(DROPPED, &partition, Some(Item::new()))
    }

    /// Reads a row of one of the projection's own tables, with its keys and with this transaction's changes.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn row(&mut self, table: &str, key: &str) -> Result<Option<Item>, BoxError> {
        let partition = self.partition_of(table).await?;
        self.get(&partition, key).await
    }

    /// Writes a row, or deletes it if `row` is `None`. Attributes may have any name except
    /// [`PARTITION`](super::PARTITION) and [`KEY`](super::KEY).
    ///
    /// # Errors
    /// When the key is empty or longer than 1,024 bytes. When the transaction has no room: return the error,
    /// and the batch is retried in smaller portions.
    pub async fn write_row(&mut self, table: &str, key: &str, row: Option<Item>) -> Result<(), BoxError> {
        check_key(key)?;
        let partition = self.partition_of(table).await?;
        self.stage(&partition, key, row)
    }

    /// Deletes all rows of a table, however many. Call it in [`drop_tables`](crate::Projection::drop_tables).
    /// Tables need no creation.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn clear(&mut self, table: &str) -> Result<(), BoxError> {
        self.next_generation(table).await
    }
}

impl FoldRows for Tx {
    fn check_key(table: &Table, key: &str) -> Result<(), RowError> {
        check_key(key).map_err(|error| RowError::new(error).in_column(&table.key.name).of_table(&table.name))
    }

    fn check_row(table: &Table, key: &str, row: &Row) -> Result<(), RowError> {
        item::check_row(table, key, row)
    }

    async fn create_table(&mut self, table: &Table) -> Result<(), BoxError> {
        if !table.checks.is_empty() {
            return Err(format!("table {} has conditions, and DynamoDB has none", table.name).into());
        }
        Ok(())
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        self.next_generation(&table.name).await
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        if keys.len() > LOADED_MAX {
            return Err(TooLarge(format!(
                "it touches more than {LOADED_MAX} rows, the most that one transaction on DynamoDB loads"
            ))
            .into());
        }
        let partition = self.partition_of(&table.name).await?;
        let found = self.get_all(&partition, keys).await?;
        found.into_iter().map(|item| Ok(item.map(|item| to_row(table, &item)).transpose()?)).collect()
    }

    async fn rows_after(
        &mut self,
        _: &ReadModelId,
        table: &Table,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, BoxError> {
        let partition = self.partition_of(&table.name).await?;
        let items = self.database.query_after(&partition, "", after, limit).await?;
        let row = |item: Item| Ok((item::to_text(&item, KEY)?.to_owned(), to_row(table, &item)?));
        items.into_iter().map(row).collect()
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        let partition = self.partition_of(&table.name).await?;
        for Change { key, row, .. } in rows {
            let item = row.as_ref().map(|row| of_row(table, row.clone()));
            self.stage(&partition, key, item)?;
        }
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), String> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => {
            Err(format!("the key has {bytes} bytes; in DynamoDB, a key must have 1 to {KEY_BYTES_MAX} bytes"))
        }
    }
}
