//! The tables of folds, and the generations by which a table is dropped in one write.
//!
//! A transaction can't remove more than 100 items. So the rows of a table are in a partition named by the table and a number;
//! to drop them is to count the number up, and to note the old partition for the sweep.

use super::Tx;
use super::item::{self, Item, number, of_row, to_number, to_row};
use crate::database::{FoldRows, TooLarge};
use crate::error::BoxError;
use crate::read_model::{Change, Row, Table};

/// The partition with the generation of each table that was ever dropped.
pub(super) const GENERATIONS: &str = "!!generations";
/// The partition with the names of those whose items nobody reads any more.
pub(super) const DROPPED: &str = "!!dropped";
const GENERATION: &str = "generation";

/// What DynamoDB takes for a sort key.
const KEY_BYTES_MAX: usize = 1_024;
/// Rows that are loaded for one transaction, at most: more than it may change, since some stay as they are.
const LOADED_MAX: usize = 1_000;

/// The partition of a table, by its generation's item.
pub(super) fn partition(table: &str, generation: Option<&Item>) -> Result<String, super::Error> {
    let generation: u64 = generation.map_or(Ok(0), |item| to_number(item, GENERATION))?;
    Ok(format!("{table}@{generation}"))
}

impl Tx {
    /// Where the rows of a table are: no transaction that drops it meanwhile leaves this one to commit.
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

    /// A row of a table of the projection's own, as it will be after this transaction, with its keys.
    ///
    /// # Errors
    /// The database's.
    pub async fn row(&mut self, table: &str, key: &str) -> Result<Option<Item>, BoxError> {
        let partition = self.partition_of(table).await?;
        self.get(&partition, key).await
    }

    /// Writes a row, or removes it. Attributes are named as you like, but for [`PARTITION`](super::PARTITION) and
    /// [`KEY`](super::KEY).
    ///
    /// # Errors
    /// The key is empty or over 1,024 bytes; or there is no room in the transaction: pass the error on, and the batch comes
    /// again in smaller portions.
    pub async fn write_row(&mut self, table: &str, key: &str, row: Option<Item>) -> Result<(), BoxError> {
        check_key(key)?;
        let partition = self.partition_of(table).await?;
        self.stage(&partition, key, row)
    }

    /// Removes all rows of a table, however many: what [`drop_tables`](crate::Projection::drop_tables) is made of. There is
    /// nothing to create.
    ///
    /// # Errors
    /// The database's.
    pub async fn clear(&mut self, table: &str) -> Result<(), BoxError> {
        self.next_generation(table).await
    }
}

impl FoldRows for Tx {
    async fn create_table(&mut self, _: &Table) -> Result<(), BoxError> {
        Ok(())
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        self.next_generation(&table.name).await
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        if keys.len() > LOADED_MAX {
            return Err(TooLarge(format!("it touches more than {LOADED_MAX} rows")).into());
        }
        for key in keys {
            check_key(key)?;
        }
        let partition = self.partition_of(&table.name).await?;
        let found = self.get_all(&partition, keys).await?;
        found.into_iter().map(|item| Ok(item.map(|item| to_row(table, &item)).transpose()?)).collect()
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        let partition = self.partition_of(&table.name).await?;
        for Change { key, row, .. } in rows {
            let item = row.as_ref().map(|row| of_row(table, row.clone())).transpose()?;
            self.stage(&partition, key, item)?;
        }
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), BoxError> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => {
            Err(format!("a key of {bytes} bytes: DynamoDB takes 1 to {KEY_BYTES_MAX}, as {}", item::KEY)
                .into())
        }
    }
}
